package main

// platform is for whoever runs Keyward. Sidecars run in other namespaces, so that panels of validation servers show all of them.
func platform() *board {
	d := page("Keyward: platform", "Is Keyward healthy, are changes in force, and how much is there to do?", "now-6h")
	with(d, "Now",
		number("Leader", "Managers that lead. Exactly one should; without one nothing changes.", unitCount,
			`sum(leader_election_master_status{name="keyward-manager", namespace="$namespace"})`, nil),
		number("Validation servers", "Servers that are connected to the leader.", unitCount,
			`sum(keyward_sync_servers{namespace="$namespace"})`, nil),
		number("Disconnected", "Servers that are scraped and have no connection to a manager: they do not see revocations.", unitCount,
			`count(keyward_validator_connected == 0) or vector(0)`, &limits{1, 2}),
		number("Not in force", "Groups and ApiKeys whose latest change some server has not acknowledged in time.", unitCount,
			`sum(keyward_enforcement_missed_records{namespace="$namespace"})`, &limits{1, 10}),
		number("Cut-over pending", "Rotated keys whose earlier version is still used shortly before it ends.", unitCount,
			`sum(keyward_apikeys_cutover_pending{namespace="$namespace"})`, &limits{1, 10}),
		number("Certificate ends", "When the first of the manager's certificates ends. It is renewed 90 days before.", unitDates,
			`min(keyward_certificate_expiration_timestamp_seconds{namespace="$namespace"}) * 1000`, nil))
	with(d, "Decisions",
		graph("Decisions", "Requests that were decided on, by integration.", unitRate,
			query{`sum by (integration) (rate(keyward_validator_decisions_total[$__rate_interval]))`, "{{integration}}"}),
		graph("Denials", "Denied requests by decision code; docs/decision-codes.md explains each.", unitRate,
			query{`sum by (code) (rate(keyward_validator_decisions_total{code!~"allowed|public|preflight"}[$__rate_interval])) > 0`, "{{code}}"}),
		graph("Duration of a decision", "Without reading the request and writing the response. Half, and 99 of 100, took less.", unitSeconds,
			query{`histogram_quantile(0.5, sum by (le) (rate(keyward_validator_decision_duration_seconds_bucket[$__rate_interval])))`, "median"},
			query{`histogram_quantile(0.99, sum by (le) (rate(keyward_validator_decision_duration_seconds_bucket[$__rate_interval])))`,
				"99 %"}),
		graph("Failed attempts", "Guesses of keys, or of where they may be used: counted by client address, or answered 429.", unitRate,
			query{`sum by (outcome) (rate(keyward_validator_failed_attempts_total[$__rate_interval]))`, "{{outcome}}"}))
	with(d, "Changes",
		graph("Time until a change is in force", "From when the manager sees a change until the last server has acknowledged it.", unitSeconds,
			query{`histogram_quantile(0.5, sum by (le) (rate(keyward_enforcement_latency_seconds_bucket{namespace="$namespace"}[$__rate_interval])))`,
				"median"},
			query{`histogram_quantile(0.99, sum by (le) (rate(keyward_enforcement_latency_seconds_bucket{namespace="$namespace"}[$__rate_interval])))`,
				"99 %"}),
		graph("Changes that wait", "Groups and ApiKeys whose latest change is still to be acknowledged, or was missed by a server.", unitCount,
			query{`sum(keyward_enforcement_pending_records{namespace="$namespace"})`, "waited for"},
			query{`sum(keyward_enforcement_missed_records{namespace="$namespace"})`, "missed"}),
		graph("Keys", "ApiKeys by state.", unitCount,
			query{`sum by (state) (keyward_apikeys{namespace="$namespace"})`, "{{state}}"}),
		graph("Versions minted", "New versions of keys, from creation and rotation.", unitPerSec,
			query{`sum(rate(keyward_versions_minted_total{namespace="$namespace"}[$__rate_interval]))`, "versions"}))
	with(d, "Manager",
		graph("Reconciliations", "What controllers do, and how much of it fails.", unitPerSec,
			query{`sum by (controller) (rate(controller_runtime_reconcile_total{namespace="$namespace"}[$__rate_interval]))`, "{{controller}}"},
			query{`sum by (controller) (rate(controller_runtime_reconcile_errors_total{namespace="$namespace"}[$__rate_interval]))`,
				"{{controller}} failed"}),
		graph("Admission", "Reviews by webhook, and those that failed by code: the API server refuses the object.", unitRate,
			query{`sum by (webhook) (rate(controller_runtime_webhook_requests_total{namespace="$namespace"}[$__rate_interval])) > 0`, "{{webhook}}"},
			query{`sum by (webhook, code) (rate(keyward_admission_failures_total{namespace="$namespace"}[$__rate_interval])) > 0`,
				"{{webhook}} failed {{code}}"}),
		graph("Refusals", "Objects that admission refused, by kind and reason.", unitPerSec,
			query{`sum by (kind, reason) (rate(keyward_admission_refusals_total{namespace="$namespace"}[$__rate_interval])) > 0`,
				"{{kind}} {{reason}}"}),
		graph("Memory", "Resident memory of each process.", unitBytes,
			query{`process_resident_memory_bytes * on (job, instance) group_left () (keyward_validator_synced * 0 + 1)`, "{{pod}}"},
			query{`process_resident_memory_bytes * on (job, instance) group_left () (keyward_sync_servers * 0 + 1)`, "{{pod}}"}))
	return d
}
