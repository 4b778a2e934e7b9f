package page

import (
	"strings"
	"time"
)

func platformExamples() []example {
	long := strings.Repeat("validator-of-a-very-long-name-", 8)
	return []example{
		{"platform", "Platform", Platform{
			State: State{"Needs attention", Bad}, Problem: "Validation servers that cannot use some record, and refuse what it is for: edge-7 (field 99 is of a later release); update them to the version of the manager.",
			Version: "v0.1.0", Leader: "keyward-manager-5d9f7c-x2x4q", Written: now.Add(-4 * time.Minute),
			Connected: 213, Disconnected: 1, Behind: 1, Rejecting: 1, Unlisted: 210,
			Servers: []PlatformServer{
				{Name: "edge-7", Identity: "edge/validator/edge-7", Version: "v0.0.9", State: State{"Rejects", Bad}, Since: now.Add(-26 * time.Hour), Groups: "12",
					Reason: "field 99 is of a later release \u202e"},
				{Name: "edge-2", Identity: "edge/validator/edge-2", Version: "v0.1.0", State: State{"Behind", Warn}, Since: now.Add(-20 * time.Second), Groups: "12"},
				{Name: long, Identity: "oidc:<b>somebody</b>", Version: "not known", State: State{"Disconnected", Bad}, Since: now.Add(-3 * time.Hour)},
				{Name: "edge-1", Identity: "edge/validator/edge-1", Version: "v0.1.0", State: State{"Connected", Good}, Since: now.Add(-90 * time.Hour), Groups: "4218"},
			},
			Sinks: []PlatformSink{
				{Name: "archive", Kind: "File, events", State: State{"Delivers", Good}, Delivered: now.Add(-time.Minute)},
				{Name: "siem", Kind: "Webhook, events", State: State{"Fails", Bad}, Waiting: now.Add(-2 * time.Hour),
					Problem: "The receiver answers 401 Unauthorized; since 2026-03-14T07:00:00Z it takes nothing: look at the log of the receiver; after 401 or 403 renew what headersFile of the sink has, and after 404 correct its url."},
			},
			Tiers: []PlatformTier{
				{Name: "Free", Default: true, Keys: "2", Requests: "1000", Bytes: "1G", Rate: "unlimited"},
				{Name: "Enterprise", Keys: "unlimited", Requests: "unlimited", Bytes: "unlimited", Rate: "unlimited", AuditLog: true},
			},
		}},
		{"platform-empty", "Platform", Platform{State: State{"All well", Good}, Version: "v0.1.0", Leader: "not known"}},
		{"platform-missing", "Platform", Platform{Missing: "keyward-system"}},
	}
}
