// Package node tests Keyward on a real node: a kubelet and containerd in namespaces of their own, which bin/devcluster starts.
// Images, probes, Pod Security, files of Secrets, Services, DNS, evictions and rollouts are the real ones.
//
// make test-node runs TestNode, with the programs of this checkout, and make dist-verify runs TestDist, with the release in dist. They
// need Linux, root and the packages of hack/install-node.sh; without them they are skipped, with the reason.
package node
