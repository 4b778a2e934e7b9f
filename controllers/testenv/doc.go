// Package testenv runs the specs of a package against a real Kubernetes API server: the CRDs of config/crd are
// installed, the webhooks of config/webhook are served, and the cache of a manager without controllers follows it all.
// A spec has a World of its own, which is a namespace with the reconcilers that act in it.
//
// A package has one suite:
//
//	func TestSpecs(t *testing.T) { testenv.Run(t, "controllers/apikey") }
//
// A suite starts an API server, which takes seconds, and is one for all specs of a package: so is what this package
// exports. Only tests import it.
package testenv
