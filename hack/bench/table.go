package main

import "fmt"

// Names of figures.
const (
	grpcBaseline   = "gRPC baseline"
	httpBaseline   = "HTTP baseline"
	proxyBaseline  = "proxy baseline"
	pooledBaseline = "proxy baseline with a pool"

	extAuthz     = "ext_authz"
	forwardAuth  = "forward-auth"
	reverseProxy = "reverse proxy"

	flatness  = "ext_authz, most expensive : cheapest"
	base      = "memory without keys"
	perKey    = "memory per key"
	afterLoad = "memory per key, after the load"
	restart   = "start"
	size      = "binary"
)

// table is what is promised.
var table = []row{
	{what: "ext_authz, 10,000 keys, a good key : gRPC baseline, CPU", of: hit(10_000), baseline: grpcBaseline, goal: 0.85},
	{what: "ext_authz, 1 key, a good key : gRPC baseline, CPU", of: hit(1), baseline: grpcBaseline, goal: 0.85},
	{what: "ext_authz, 1,000,000 keys, a good key : gRPC baseline, CPU", of: hit(1_000_000), baseline: grpcBaseline, goal: 0.85},
	{what: "ext_authz, 10,000 keys, an unknown key : gRPC baseline, CPU", of: miss(10_000), baseline: grpcBaseline, goal: 0.85},
	{what: "ext_authz, the most expensive of 1, 10,000 and 1,000,000 keys, good and unknown : the cheapest, CPU", of: flatness, goal: 1.10},
	{what: "decision log on, a browser's 20 headers : gRPC baseline, CPU", of: loggedFull, baseline: baselineFull, goal: 0.60},
	{what: "decision log on, a bare request : gRPC baseline, CPU", of: loggedBare, baseline: baselineBare, goal: 0.75},
	{what: "forward-auth : HTTP baseline, CPU", of: forwardAuth, baseline: httpBaseline, goal: 1.15},
	{what: "reverse proxy : proxy baseline, CPU", of: reverseProxy, baseline: proxyBaseline, goal: 1.10},
	{what: "reverse proxy : proxy baseline with a pool of buffers, CPU", of: reverseProxy, baseline: pooledBaseline, goal: 1.10},
	{what: "validator, resident, no keys", of: base, goal: 25, unit: " MiB", format: "%.1f"},
	{what: "validator, resident, per key of 1,000,000", of: perKey, goal: 160, unit: " B", format: "%.0f"},
	{what: "the same after the load, over a server that had none", of: afterLoad, goal: 160, unit: " B", format: "%.0f"},
	{what: "validator, binary", of: size, goal: 20, unit: " MiB", format: "%.1f"},
	{what: "validator, start to ready, 1,000,000 persisted keys", of: restart, goal: 3, unit: " s"},
	{what: "minting : bare POSTs of Secrets ÷ writes per key", of: "of-baseline", goal: 0.8, atLeast: true},
	{what: "minting : the same three writes, bare", of: "of-bare", goal: 0.8, atLeast: true},
	{what: "writes per key, those of its Group among them", of: "writes/key", goal: 3, format: "%.3f"},
	{what: "revocation at 1,000 servers, 100,000 keys : a bare watch where there is one server, p99", of: "p99-of-one", goal: 3},
	{what: "the same : a bare watch beside the 1,000, p99", of: "p99-of-baseline", goal: 3},
	{what: "reconnect with 100,000 unchanged keys : the snapshot, bytes", of: "reconnect-B", baseline: "snapshot-B",
		goal: 0.01, format: "%.6f"},
	{what: "leader, resident, 100,000 keys", of: "leader-MB", goal: 1355, unit: " MB", format: "%.0f"},
	{what: "leader killed and started again, until 1,000 servers are current", of: "s-restart-to-current", goal: 30,
		unit: " s", format: "%.1f"},
	{what: "leader killed permanently, until they are current with the next", of: "s-takeover-to-current", goal: 30, unit: " s", format: "%.1f"},
	{what: "writes of an idle manager, besides its lease", of: "idle-writes", goal: 0, format: "%.0f"},
}

func hit(keys int) string { return fmt.Sprintf("%s, %d keys, a good key", extAuthz, keys) }

func miss(keys int) string { return fmt.Sprintf("%s, %d keys, an unknown key", extAuthz, keys) }
