#!/usr/bin/env bash
# Traefik takes six minutes of processor time to compile, and its tests only change if what they test does. So CI compiles it only
# if something has changed of what it was tested with last, which is in test/gateways/testdata/traefik.tested:
#
#	hack/traefik.sh changed   succeeds if something has changed
#	hack/traefik.sh tested    runs the tests with bin/traefik, and writes what they ran with
set -euo pipefail
cd "$(dirname "$0")/.."
readonly record=test/gateways/testdata/traefik.tested

# inputs prints a checksum of each file: the kit, what answers Traefik, the tests, and the version of Traefik.
inputs() {
	find config/gateways/traefik hack/tools/traefik server/integrations/forwardauth server/integrations/reverseproxy server/httpapi \
		test/gateways -type f ! -path "$record" ! -path 'test/gateways/testdata/readers/*' \
		\( ! -path 'server/*' -o ! -name '*_test.go' \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}

case "${1:-}" in
changed)
	if inputs | cmp -s - "$record"; then
		exit 1
	fi
	echo "Traefik: changed since it was tested last (hack/traefik.sh tested records that it works with this):"
	inputs | { diff "$record" - || true; } | sed -n 's/^[<>] [0-9a-f]* */  /p' | sort -u
	;;
tested)
	if [ ! -x bin/traefik ]; then
		echo "Traefik: run make bin/traefik first" >&2
		exit 1
	fi
	ran=$(go test -count=1 -v ./test/gateways)
	if grep -q -- '--- SKIP: TestTraefik' <<<"$ran"; then
		echo "Traefik: its test was skipped" >&2
		exit 1
	fi
	inputs >"$record"
	;;
*)
	echo "usage: hack/traefik.sh changed|tested" >&2
	exit 2
	;;
esac
