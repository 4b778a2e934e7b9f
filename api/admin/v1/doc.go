// Package adminv1 is the JSON that validation servers speak: /v1/verify, /v1/key, /v1/decisions, /v1/check-origin and
// /v1/usage. The servers and their clients, such as kubectl-keyward, share these types.
//
// Names are in lower camel case, with acronyms as words: keyId, requestId. Only where another convention rules are names
// written otherwise: HTTP headers (X-Keyward-Key-Id), Envoy's dynamic metadata and Prometheus labels (key_id).
//
// A field may be added in any release. Clients ignore fields that they do not know; servers refuse them.
package adminv1
