// Package gatewaykits validates the kits in config/gateways that no gateway was run with, against what the gateways publish:
// schemas of their kinds, on a real Kubernetes API, and protobufs. It has no code of its own.
package gatewaykits
