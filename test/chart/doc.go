// Package chart holds the tests of charts/keyward: what Helm renders, and what a Kubernetes API server says about it. It is a
// module of its own, because nothing else is linked with Helm. bin/helm, for the tests on a node, is built out of it.
package chart
