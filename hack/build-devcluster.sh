#!/usr/bin/env bash
# Builds bin/devcluster and its links for envtest.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -e bin/devcluster ]; then
	echo "devcluster: the first build compiles Kubernetes from source, 3 to 6 minutes on 2 cores; later builds take seconds"
fi
version=$(cd hack/devcluster && go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
stamp=k8s.io/component-base/version
go run ./hack/build -C hack/devcluster -name devcluster \
	-ldflags "-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor" \
	bin/devcluster=.
mkdir -p bin/envtest
for name in etcd kube-apiserver kubectl; do
	ln -sf ../devcluster "bin/envtest/$name"
done
