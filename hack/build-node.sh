#!/usr/bin/env bash
# Builds bin/node, what a cluster with a node needs beside bin/devcluster: kubelet, kube-proxy, kube-scheduler and
# kube-controller-manager in one program, and static programs for the images of DNS and of sandboxes.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(cd hack/devcluster && go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"

# The same settings as those of bin/devcluster, so that packages of both are compiled once. That is also why the program for
# the image is made static by the linker, and not by compiling everything again without cgo. The linker warns of functions
# that are not called: Go resolves names itself where there is no nsswitch.conf.
static=
if [ "$(go env CGO_ENABLED)" = 1 ]; then
	static='-linkmode=external -extldflags=-static'
fi
mkdir -p bin/node
go run ./hack/build -C hack/devcluster -name node -ldflags "$flags $static" bin/node/coredns=./cmd/coredns \
	2> >(grep -v 'statically linked applications\|^# \|in function' >&2 || true)
# Last is the file that make looks at.
go run ./hack/build -C hack/devcluster -name node -ldflags "$flags" bin/node/pause=./cmd/pause \
	bin/node/devcluster-node=./cmd/devcluster-node
