package main

// business is for whoever sells access to content.
func business() *board {
	d := page("Keyward: business", "Who uses how much, who needs more, and how it grows. Months are the periods of "+
		"quotas: calendar months in UTC, unless a Group has its own.", "now-30d")
	const in = `{namespace="$namespace"}`
	with(d, "Running period (UTC)",
		number("Groups", "Groups that exist.", unitCount, `sum(keyward_groups`+in+`)`, nil),
		number("Active keys", "ApiKeys that are accepted.", unitCount, `sum(keyward_apikeys{namespace="$namespace", state="Active"})`, nil),
		number("Requests", "Allowed requests of all Groups.", unitCount, `sum(keyward_group_requests`+in+`)`, nil),
		number("Bytes", "Bytes of response bodies of all Groups.", unitBytes, `sum(keyward_group_response_bytes`+in+`)`, nil),
		number("Near a quota", "Groups that have used 80 % or more of a quota, and not all of it.", unitCount,
			`sum(keyward_groups_quota_low`+in+`) - sum(keyward_groups_quota_exceeded`+in+`)`, &limits{1, 20}),
		number("Beyond a quota", "Groups that have used up a quota.", unitCount, `sum(keyward_groups_quota_exceeded`+in+`)`, &limits{1, 10}))
	with(d, "Groups",
		bars("Most requests", "The ten Groups with the most requests this month. All Groups beyond --metrics-groups are other.", unitCount,
			query{`topk(10, max by (group) (keyward_group_requests` + in + `))`, "{{group}}"}, nil),
		bars("Most bytes", "The ten Groups with the most bytes of response bodies this month.", unitBytes,
			query{`topk(10, max by (group) (keyward_group_response_bytes` + in + `))`, "{{group}}"}, nil),
		bars("Nearest to a quota", "The ten Groups that have used the largest share of a quota, which might want another tier.", unitShare,
			query{`topk(10, namespace_group_quota:keyward_group_quota_used:ratio` + in + `)`, "{{group}} {{quota}}"}, &limits{0.8, 1}),
		graph("Share of all requests", "How much of the use comes from the Groups that use most.", unitShare,
			query{`topk(5, max by (group) (keyward_group_requests` + in + `) / scalar(sum(keyward_group_requests` + in + `)))`, "{{group}}"}))
	with(d, "Growth",
		graph("Requests", "Allowed requests of all Groups, averaged over a day.", unitRate,
			query{`sum(rate(keyward_group_requests` + in + `[1d]))`, "requests"}),
		graph("Groups and keys", "How many there are.", unitCount,
			query{`sum(keyward_groups` + in + `)`, "Groups"}, query{`sum(keyward_apikeys` + in + `)`, "ApiKeys"}),
		graph("Lost to quotas", "Requests that were denied with 402, because a quota was used up.", unitRate,
			query{`sum(rate(keyward_validator_decisions_total{code="quota_exceeded"}[$__rate_interval]))`, "denied"}))
	return d
}
