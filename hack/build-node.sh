#!/usr/bin/env bash
# Builds bin/node, what a cluster with a node needs beside bin/devcluster: kubelet, kube-proxy, kube-scheduler and
# kube-controller-manager in one program, and static programs for the images of DNS and of sandboxes.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/bin/node
cd "$root/hack/devcluster"

# follow: counts the packages that go build -v names and passes errors on.
follow() {
	local count=0 shown=0 line
	while IFS= read -r line; do
		case $line in
		*' '* | *:*) printf '%s\n' "$line" >&2 ;;
		*)
			count=$((count + 1))
			if [ -t 1 ]; then
				printf '\r\033[Knode: compiled %s packages (%sm%ss)' "$count" $((SECONDS / 60)) $((SECONDS % 60))
			elif ((SECONDS - shown >= 10)); then
				shown=$SECONDS
				echo "node: compiled $count packages ($((SECONDS / 60))m$((SECONDS % 60))s)"
			fi
			;;
		esac
	done
}

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"

# The same settings as those of bin/devcluster, so that packages of both are compiled once. That is also why the program for
# the image is made static by the linker, and not by compiling everything again without cgo.
static=
if [ "$(go env CGO_ENABLED)" = 1 ]; then
	static='-linkmode=external -extldflags=-static'
fi
rm -rf "$out.next" && mkdir -p "$out.next"
build() { # LDFLAGS PACKAGE...
	go build -v -buildvcs=false -o "$out.next/" -ldflags "$1" "${@:2}" 2> >(follow) || {
		wait
		echo "node: the build failed, see above" >&2
		exit 1
	}
	wait
}
build "$flags" ./cmd/devcluster-node ./cmd/pause
# The linker's warnings are about functions that CoreDNS does not call: Go resolves names itself where there is no nsswitch.conf.
build "$flags $static" ./cmd/coredns 2> >(grep -v 'statically linked applications\|^# \|in function' >&2 || true)
if [ -t 1 ]; then printf '\r\033[K'; fi
# In one step: a running node keeps the files that it was started from.
rm -rf "$out.last"
if [ -e "$out" ]; then mv "$out" "$out.last"; fi
mv "$out.next" "$out"
rm -rf "$out.last"
echo "node: built bin/node, Kubernetes $version, in $((SECONDS / 60))m$((SECONDS % 60))s"
