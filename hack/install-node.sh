#!/usr/bin/env bash
# Installs what a node needs (make test-node, make run NODE=1): containerd, runc, network plug-ins and the tools of kube-proxy,
# where packages are available and we have the right to install them. Services are not started: the node starts its own. It never
# fails: without these programs, the tests that need a node are skipped.
set -euo pipefail

missing=() packages=()
need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null || { missing+=("$1"); packages+=("$2"); }
}
need containerd containerd
need runc runc
need ip iproute2
need nft nftables
need iptables iptables
need conntrack conntrack
need ethtool ethtool
need jq jq
if [ ! -e /usr/lib/cni/ptp ] && [ ! -e /opt/cni/bin/ptp ]; then
	missing+=("network plug-ins") packages+=(containernetworking-plugins)
fi
if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "node: ${missing[*]} not installed: tests on a node are skipped"
	exit 0
fi
echo "node: installing ${packages[*]}"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"; } >/dev/null ||
	echo "node: they could not be installed: tests on a node are skipped"
