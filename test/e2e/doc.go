// Package e2e tests Keyward as it runs: a real API server, and managers and validation servers as separate processes, with
// the Roles, ServiceAccounts, tokens and certificates that they are shipped with. Only the kubelet and the Service in front
// of the webhooks are replaced by stand-ins, which move bytes and decide nothing.
//
// All tests share one cluster; each has a namespace of its own, and its own managers and validators. They run
// one after the other: whoever leads owns the whole cluster.
package e2e
