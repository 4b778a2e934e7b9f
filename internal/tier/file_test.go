package tier_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyward-dev/keyward/internal/tier"
)

const head = "apiVersion: config.keyward.dev/v1alpha1\nkind: ManagerConfiguration\n"

func TestParse(t *testing.T) {
	catalogue, err := tier.Parse([]byte("# ours\n---\n" + head + `
defaultTier: Trial
tiers:
  - {name: Trial, limits: {keys: 1, requestsPerMonth: 100, bytesPerMonth: 10M, quotaFailurePolicy: Deny}}
  - {name: Paid, auditLog: true, limits: {bytesPerMonth: 1000000, overage: Meter, requestsPerSecond: 50, burst: 1000000}}
`))
	if err != nil {
		t.Fatal(err)
	}
	trial, paid := catalogue.Find("Trial"), catalogue.Find("Paid")
	if catalogue.Default != "Trial" || len(catalogue.Tiers) != 2 || *trial.Limits.Keys != 1 || *trial.Limits.RequestsPerMonth != 100 ||
		trial.Limits.BytesPerMonth.Value() != 10_000_000 || trial.Limits.QuotaFailurePolicy != "Deny" || trial.AuditLog {
		t.Errorf("%+v", catalogue)
	}
	if !paid.AuditLog || paid.Limits.Keys != nil || paid.Limits.RequestsPerMonth != nil || paid.Limits.BytesPerMonth.Value() != 1_000_000 || paid.Limits.Overage != "Meter" ||
		*paid.Limits.RequestsPerSecond != 50 || *paid.Limits.Burst != 1_000_000 || trial.Limits.RequestsPerSecond != nil {
		t.Errorf("%+v", paid)
	}
	for text, tiers := range map[string]int{head: 6, head + "tiers: []\n": 0} {
		if catalogue, err := tier.Parse([]byte(text)); err != nil || len(catalogue.Tiers) != tiers {
			t.Errorf("%s: %+v, %v", text, catalogue, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	pro := func(text string) string { return head + "tiers:\n  - name: Pro\n    " + text + "\n" }
	for name, test := range map[string]struct{ text, says string }{
		"nothing":             {"", `apiVersion and kind: "" and "" are not known; write apiVersion: config.keyward.dev/v1alpha1 and kind: ManagerConfiguration`},
		"another kind":        {"apiVersion: v1\nkind: ConfigMap\n", `apiVersion and kind: "v1" and "ConfigMap" are not known`},
		"an unknown field":    {pro("limits: {key: 3}"), `unknown field "tiers[0].limits.key"; remove it, or correct its name`},
		"a field in capitals": {pro("Limits: {keys: 3}"), `unknown field "tiers[0].Limits"; remove it`},
		"a duplicate":         {pro("limits: {keys: 3,\n      keys: 4}"), `line 6: key "keys" already set in map; give it once`},
		"a tier twice":        {head + "tiers: [{name: Pro}, {name: Free}, {name: Pro}]", "tiers[2].name: Pro is there twice; rename one, or remove it"},
		"no name":             {head + "tiers: [{}]", `tiers[0].name: "" is no name; write 1 to 63 letters`},
		"a negative number":   {pro("limits: {keys: -1}"), "tiers[0] (Pro).limits.keys: -1 is no whole number from 0 to 1000000; correct it, or leave it out for no limit"},
		"a fraction":          {pro("limits: {requestsPerMonth: 1.5}"), "tiers[0] (Pro).limits.requestsPerMonth: 1.5 is no whole number"},
		"too much":            {pro("limits: {requestsPerMonth: 1000000000000001}"), "is no whole number from 0 to 1000000000000000"},
		"far too much":        {pro("limits: {keys: 99999999999999999999}"), ".limits.keys: "},
		"a text":              {pro(`limits: {keys: "3"}`), `tiers[0] (Pro).limits.keys: "3" is no whole number`},
		"a bad quantity":      {pro("limits: {bytesPerMonth: 100GB}"), `tiers[0] (Pro).limits.bytesPerMonth: "100GB" is no number of bytes; write one such as 100G`},
		"a negative quantity": {pro("limits: {bytesPerMonth: -1G}"), `"-1G" is no number of bytes`},
		"half a byte":         {pro("limits: {bytesPerMonth: 500m}"), `"500m" is no number of bytes`},
		"exabytes":            {pro("limits: {bytesPerMonth: 8Ei}"), `"8Ei" is no number of bytes`},
		"no rate at all":      {pro("limits: {requestsPerSecond: 0}"), "tiers[0] (Pro).limits.requestsPerSecond: 0 is no whole number from 1 to 1000000; correct it, or leave it out for no limit"},
		"too fast":            {pro("limits: {requestsPerSecond: 1000001}"), "is no whole number from 1 to 1000000"},
		"too much at once":    {pro("limits: {requestsPerSecond: 1, burst: 1000001}"), "tiers[0] (Pro).limits.burst: 1000001 is no whole number from 1 to 1000000"},
		"a burst alone":       {pro("limits: {burst: 5}"), "tiers[0] (Pro).limits.burst: it means nothing without requestsPerSecond; set that, or remove burst"},
		"another overage":     {pro("limits: {overage: meter}"), `tiers[0] (Pro).limits.overage: "meter" is not known; write Block or Meter`},
		"another policy":      {pro("limits: {quotaFailurePolicy: 1}"), "quotaFailurePolicy: 1 is not known; write Allow or Deny"},
		"no truth":            {pro("auditLog: sometimes"), `tiers[0] (Pro).auditLog: "sometimes" is neither true nor false`},
		"no default":          {head + "defaultTier: Gold", `defaultTier: there is no tier "Gold", it has Free, Basic`},
		"no map":              {"- a\n- b\n", "cannot unmarshal array"},
		"no YAML":             {head + "tiers: [", "yaml: line "},
		"a second document":   {head + "---\n" + head, "there is more than one document; write all in one, without ---"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "manager.yaml")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := tier.Load(path)
			if err == nil {
				t.Fatal("taken")
			}
			if text := err.Error(); !strings.HasPrefix(text, path+": ") || !strings.Contains(text, test.says) || strings.Contains(text, "\n") {
				t.Error(text)
			}
		})
	}
}

// TestShipped holds the file that is shipped to what is built in.
func TestShipped(t *testing.T) {
	shipped, err := tier.Load("../../config/manager/manager.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tier.Builtin(), shipped); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "tiers: [{name: Pro, limits: {keys: 3, bytesPerMonth: 1G}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		catalogue, err := tier.Parse(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		for _, of := range catalogue.Tiers {
			if of.Limits.Keys != nil && *of.Limits.Keys < 0 || of.Limits.BytesPerMonth != nil && of.Limits.BytesPerMonth.Sign() < 0 {
				t.Errorf("%s has less than nothing", of.Name)
			}
		}
	})
}
