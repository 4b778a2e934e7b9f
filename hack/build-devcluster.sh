#!/usr/bin/env bash
# Builds bin/devcluster and its links for envtest. The first build compiles Kubernetes, which takes minutes: it says so and
# shows its progress.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/bin/devcluster
cd "$root/hack/devcluster"

# show MESSAGE: one line that refreshes itself on a terminal, and one line every ten seconds elsewhere.
shown=-10
show() {
	if [ -t 1 ]; then
		printf '\r\033[K%s' "$1"
	elif ((SECONDS - shown >= 10)); then
		printf '%s\n' "$1"
		shown=$SECONDS
	fi
}

# follow LABEL TOTAL: counts the lines of a Go command's stderr that name work done and passes the rest
# (errors) on.
follow() {
	local count=0 line
	while IFS= read -r line; do
		case $line in
		'go: downloading '*) count=$((count + 1)) ;;
		*' '* | *:*)
			printf '%s\n' "$line" >&2
			continue
			;;
		*) count=$((count + 1)) ;;
		esac
		show "devcluster: $1 $count$2 ($((SECONDS / 60))m$((SECONDS % 60))s)"
	done
}

if [ ! -e "$out" ]; then
	echo "devcluster: the first build compiles Kubernetes from source, 4 to 8 minutes on 2 cores; later builds take seconds"
fi

{ packages=$(go list -deps . | wc -l); } 2> >(follow 'fetching modules,' '')
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
stamp=k8s.io/component-base/version

mkdir -p "$root/bin/envtest"
# -v names each package as it is compiled. The result is moved into place in one step: a running devcluster keeps the file
# that it was started from, and an interrupted build leaves no file that looks finished.
go build -v -buildvcs=false -o "$out.next" \
	-ldflags "-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor" \
	. 2> >(follow 'compiled' " of at most $packages packages") || {
	wait
	echo "devcluster: the build failed, see above" >&2
	exit 1
}
wait
if [ -t 1 ]; then printf '\r\033[K'; fi
mv "$out.next" "$out"
for name in etcd kube-apiserver kubectl; do
	ln -sf ../devcluster "$root/bin/envtest/$name"
done
echo "devcluster: built bin/devcluster, Kubernetes $version, in $((SECONDS / 60))m$((SECONDS % 60))s"
