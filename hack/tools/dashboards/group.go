package main

// group is for the owner of one Group. It needs a series of its own, see --metrics-groups.
func group() *board {
	d := page("Keyward: a Group", "What one Group uses of its quotas this month, and which of its keys end.", "now-7d").
		WithVariable(choice("group", "Group", `label_values(keyward_group_requests{namespace="$namespace"}, group)`))
	const of = `{namespace="$namespace", group="$group"}`
	used := &limits{0.8, 1}
	with(d, "Running period (UTC)",
		number("Requests", "Allowed requests this month.", unitCount, `max(keyward_group_requests`+of+`)`, nil),
		number("Requests of the quota", "Requests as a share of what the Group may have. From 100 % on they are answered 402, or are overage.", unitShare,
			`max(namespace_group_quota:keyward_group_quota_used:ratio{namespace="$namespace", group="$group", quota="requests"})`, used),
		number("Bytes", "Bytes of response bodies this month.", unitBytes, `max(keyward_group_response_bytes`+of+`)`, nil),
		number("Bytes of the quota", "Bytes as a share of what the Group may have.", unitShare,
			`max(namespace_group_quota:keyward_group_quota_used:ratio{namespace="$namespace", group="$group", quota="bytes"})`, used),
		number("Keys that end soon", "Keys of the Group that end within 14 days and do not rotate before, of those that end soonest of all.",
			unitCount, `count(keyward_apikey_expiration_timestamp_seconds{group="$group"} - time() < 14 * 86400) or vector(0)`, &limits{1, 5}),
		number("First end of a key", "When the first of these keys ends.", unitDates,
			`min(keyward_apikey_expiration_timestamp_seconds{group="$group"}) * 1000`, nil))
	with(d, "Use",
		graph("Requests", "Allowed requests per second, averaged over an hour.", unitRate,
			query{`max(rate(keyward_group_requests` + of + `[1h]))`, "requests"}),
		graph("Bytes", "Bytes of response bodies per second, averaged over an hour.", "Bps",
			query{`max(rate(keyward_group_response_bytes` + of + `[1h]))`, "bytes"}),
		graph("Requests of the month", "Requests since the month began, and the quota.", unitCount,
			query{`max(keyward_group_requests` + of + `)`, "used"}, query{`max(keyward_group_requests_limit` + of + `)`, "quota"}),
		graph("Bytes of the month", "Bytes since the month began, and the quota.", unitBytes,
			query{`max(keyward_group_response_bytes` + of + `)`, "used"},
			query{`max(keyward_group_response_bytes_limit` + of + `)`, "quota"}))
	with(d, "Keys",
		bars("When keys end", "The time that is left for each key that does not rotate before its end.", unitSeconds,
			query{`sort(max by (namespace, name) (keyward_apikey_expiration_timestamp_seconds{group="$group"}) - time())`,
				"{{namespace}}/{{name}}"}, nil))
	return d
}
