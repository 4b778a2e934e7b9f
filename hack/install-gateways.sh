#!/usr/bin/env bash
# Installs the proxies that config/gateways is tested with, the browser that reads their responses, the Redis that stores
# usage, promtool, which tests alerts, buildah, which builds the Dockerfile, the content servers that read what proxies forward
# (test/gateways), and axe-core, which examines the pages of the console, where packages are available and we have the right to
# install them. Their services are not started: the tests run them with their own ports and configurations.
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

# install_locked installs packages of npm at the versions of their lock.
install_locked() { # DIRECTORY LOCK WHAT
	if [ -d "$1/node_modules" ] && cmp -s "$2/package-lock.json" "$1/package-lock.json"; then
		return
	fi
	mkdir -p "$1"
	cp "$2"/package*.json "$1/"
	if ! command -v npm >/dev/null || ! (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null); then
		rm -rf "$1"
		echo "gateways: $3"
	fi
}
install_locked bin/readers/node test/gateways/testdata/readers/node "Express not installed: it is not tested"
install_locked bin/axe console/page/testdata/axe "axe-core not installed: pages of the console are not examined"
