// Package chart holds the tests of charts/keyward: what Helm renders, and what a Kubernetes API server says about it. It is a
// module of its own, because nothing else needs Helm. bin/helm,
// for tests on a node, is built out of it.
package chart
