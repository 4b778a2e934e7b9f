#!/usr/bin/env bash
# Installs the proxies that config/gateways is tested with, the browser that looks at what they answer, and the Redis
# that usage is kept in, where Debian's packages can be had and we may.
# Their services are not started: the tests run them on ports and configurations of their own.
set -euo pipefail

missing=()
for program in nginx haproxy caddy chromium redis-server; do
	command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "gateways: ${missing[*]} not installed: their tests are skipped"
	exit 0
fi
echo "gateways: installing ${missing[*]}"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
