package tier_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/tier"
)

func TestLogRetention(t *testing.T) {
	const day = 24 * time.Hour
	catalogue, err := tier.Parse([]byte(head + `
defaultTier: Short
tiers:
  - {name: Short, logRetention: 3d}
  - {name: Long, auditLog: true, logRetention: 1y}
  - {name: Audited, auditLog: true}
  - {name: Plain}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, expected := range map[string]time.Duration{
		"": 3 * day, "Short": 3 * day, "Long": 365 * day, "Audited": 90 * day, "Plain": 7 * day, "Gone": 7 * day,
	} {
		if got := catalogue.LogRetention(groupOf(name)); got != expected {
			t.Errorf("%q: %s, expected %s", name, got, expected)
		}
	}
	gone := groupOf("Gone")
	gone.Status.Limits = &v1alpha1.GroupLimits{Tier: "Gone", AuditLog: new(true)}
	if got := catalogue.LogRetention(gone); got != 90*day {
		t.Errorf("of a tier that is gone: %s", got)
	}
	for _, text := range []string{"never", "1h", "11y", "90", "''", "-1d"} {
		_, err := tier.Parse([]byte(head + "tiers: [{name: Pro, logRetention: " + text + "}]"))
		if err == nil || !strings.Contains(err.Error(), "tiers[0] (Pro).logRetention") || !strings.Contains(err.Error(), "such as 90d") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestLogSize(t *testing.T) {
	t.Parallel()
	catalogue, err := tier.Parse([]byte(head + "\ndefaultTier: Plain\ntiers: [{name: Plain}, {name: Large, logSize: 1Gi}, {name: Small, logSize: 1Mi}, {name: Decimal, logSize: 2M}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, expected := range map[string]int64{"": 64 << 20, "Plain": 64 << 20, "Large": 1 << 30, "Small": 1 << 20, "Decimal": 2_000_000, "Gone": 64 << 20} {
		if got := catalogue.LogSize(groupOf(name)); got != expected {
			t.Errorf("%q: %d, want %d", name, got, expected)
		}
	}
	for _, text := range []string{"1023Ki", "1025Mi", "-1Mi", "0", "much", "''", "null", "67108864", "[1Mi]", "1e100Mi"} {
		_, err := tier.Parse([]byte(head + "\ntiers: [{name: Plain, logSize: " + text + "}]"))
		if err == nil || !strings.Contains(err.Error(), "tiers[0] (Plain).logSize") || !strings.Contains(err.Error(), "such as 64Mi") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
