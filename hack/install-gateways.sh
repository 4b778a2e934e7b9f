#!/usr/bin/env bash
# Installs the proxies that config/gateways is tested with, the browser that reads their responses, the Redis that stores
# usage, promtool, which tests alerts, buildah, which builds the Dockerfile, and the content servers that read what proxies forward
# (test/gateways), where packages are available and we have the right to install them. Their services are not started: the tests
# run them with their own ports and configurations.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=() packages=()
need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null || { missing+=("$1"); packages+=("$2"); }
}
for program in nginx haproxy caddy chromium redis-server buildah; do
	need "$program" "$program"
done
need promtool prometheus # for test/monitoring; without a service
need php php-cli
need node nodejs
need python3 python3-minimal
need javac default-jdk-headless
if ! compgen -G '/usr/share/java/tomcat10-embed-core-*.jar' >/dev/null; then
	missing+=(tomcat) packages+=(libtomcat10-embed-java)
fi

if [ ${#missing[@]} -gt 0 ]; then
	if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
		echo "gateways: ${missing[*]} not installed: their tests are skipped"
	else
		echo "gateways: installing ${packages[*]}"
		policy=/usr/sbin/policy-rc.d
		if [ ! -e "$policy" ]; then
			printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
			trap 'rm -f "$policy"' EXIT
		fi
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
	fi
fi

# Express and qs, at the versions of the lock.
readers=bin/readers/node
if [ ! -d "$readers/node_modules" ] || ! cmp -s test/gateways/testdata/readers/node/package-lock.json "$readers/package-lock.json"; then
	mkdir -p "$readers"
	cp test/gateways/testdata/readers/node/package*.json "$readers/"
	if ! command -v npm >/dev/null || ! (cd "$readers" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null); then
		rm -rf "$readers"
		echo "gateways: Express not installed: it is not tested"
	fi
fi
