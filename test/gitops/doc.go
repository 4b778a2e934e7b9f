// Package gitops judges Keyward as the tools of GitOps do. It has no code of its own.
package gitops
