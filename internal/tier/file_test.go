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
	if !paid.AuditLog || paid.Limits.Keys != nil || paid.Limits.RequestsPerMonth != nil ||
		paid.Limits.BytesPerMonth.Value() != 1_000_000 || paid.Limits.Overage != "Meter" ||
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
		"nothing":      {"", `apiVersion and kind: "" and "" are not known; write apiVersion: config.keyward.dev/v1alpha1 and kind: ManagerConfiguration`},
		"another kind": {"apiVersion: v1\nkind: ConfigMap\n", `apiVersion and kind: "v1" and "ConfigMap" are not known`},
		"an unknown field": {pro("limits: {key: 3}"),
			`tiers[0] (Pro).limits.key: Forbidden: unknown field; remove it, or correct its name`},
		"a field in capitals": {pro("Limits: {keys: 3}"), `tiers[0] (Pro).Limits: Forbidden: unknown field; remove it`},
		"a duplicate":         {pro("limits: {keys: 3,\n      keys: 4}"), `line 6: key "keys" already set in map; give it once`},
		"a tier twice": {head + "tiers: [{name: Pro}, {name: Free}, {name: Pro}]",
			`tiers[2].name: Duplicate value: "Pro": rename one, or remove it`},
		"no name": {head + "tiers: [{}]", `tiers[0].name: Invalid value: "": write 1 to 63 letters`},
		"a negative number": {pro("limits: {keys: -1}"),
			"tiers[0] (Pro).limits.keys: Invalid value: -1: write a whole number from 0 to 1000000, or leave it out for no limit"},
		"a fraction": {pro("limits: {requestsPerMonth: 1.5}"),
			"tiers[0] (Pro).limits.requestsPerMonth: Invalid value: 1.5: write a whole number from 0 to"},
		"too much": {pro("limits: {requestsPerMonth: 1000000000000001}"),
			"limits.requestsPerMonth: Invalid value: 1000000000000001: write a whole number from 0 to 1000000000000000,"},
		"far too much": {pro("limits: {keys: 99999999999999999999}"),
			"tiers[0] (Pro).limits.keys: Invalid value: 100000000000000000000: write a whole number"},
		"a text": {pro(`limits: {keys: "3"}`), `tiers[0] (Pro).limits.keys: Invalid value: "3": write a whole number`},
		"a bad quantity": {pro("limits: {bytesPerMonth: 100GB}"),
			`tiers[0] (Pro).limits.bytesPerMonth: Invalid value: "100GB": write a whole number of bytes of at least 1 and less than 1E, such as 100G`},
		"a negative quantity": {pro("limits: {bytesPerMonth: -1G}"),
			`tiers[0] (Pro).limits.bytesPerMonth: Invalid value: "-1G": write a whole number of bytes`},
		"half a byte": {pro("limits: {bytesPerMonth: 500m}"),
			`tiers[0] (Pro).limits.bytesPerMonth: Invalid value: "500m": write a whole number of bytes`},
		"exabytes": {pro("limits: {bytesPerMonth: 8Ei}"),
			`tiers[0] (Pro).limits.bytesPerMonth: Invalid value: "9223372036854775807": write a whole number of bytes`},
		"an exabyte": {pro("limits: {bytesPerMonth: 1E}"),
			`tiers[0] (Pro).limits.bytesPerMonth: Invalid value: "1E": write a whole number of bytes of at least 1 and less than 1E`},
		"no rate at all": {pro("limits: {requestsPerSecond: 0}"),
			"tiers[0] (Pro).limits.requestsPerSecond: Invalid value: 0: write a whole number from 1 to 1000000, or leave it out for no limit"},
		"too fast": {pro("limits: {requestsPerSecond: 1000001}"),
			"limits.requestsPerSecond: Invalid value: 1000001: write a whole number from 1 to 1000000,"},
		"too much at once": {pro("limits: {requestsPerSecond: 1, burst: 1000001}"),
			"tiers[0] (Pro).limits.burst: Invalid value: 1000001: write a whole number from 1 to 1000000,"},
		"a burst alone": {pro("limits: {burst: 5}"),
			"tiers[0] (Pro).limits.requestsPerSecond: Required value: burst has no effect without it; set it, or remove burst"},
		"another overage": {pro("limits: {overage: meter}"),
			`tiers[0] (Pro).limits.overage: Unsupported value: "meter": supported values: "Block", "Meter"`},
		"another policy": {pro("limits: {quotaFailurePolicy: 1}"),
			"tiers[0] (Pro).limits.quotaFailurePolicy: Invalid value: 1: write Allow or Deny"},
		"no truth": {pro("auditLog: sometimes"), `tiers[0] (Pro).auditLog: Invalid value: "sometimes": write true or false`},
		"no default": {head + "defaultTier: Gold",
			`defaultTier: Not found: "Gold": there is no such tier in the catalogue, it has Free, Basic`},
		"no default beside others": {pro("limits: {keys: -1}") + "defaultTier: Gold\n",
			`, defaultTier: Not found: "Gold": there is no such tier in the catalogue, it has Pro; add it`},
		"no map":            {"- a\n- b\n", "cannot unmarshal array"},
		"no YAML":           {head + "tiers: [", "yaml: line "},
		"a second document": {head + "---\n" + head, "there is more than one document; write all in one, without ---"},
		"one after dots":    {head + "...\n" + head, "yaml: line 3: did not find expected <document start>"},
		"a bad second one":  {head + "---\ntiers: [", "yaml: line "},
		"a limit of nothing": {pro("limits: {keys: }"),
			"tiers[0] (Pro).limits.keys: Required value: write a whole number from 0 to 1000000, or leave it out for no limit"},
		"no list":                 {head + "tiers: {name: Pro}", `tiers: Invalid value: {"name":"Pro"}: write a list of tiers`},
		"limits that are none":    {pro("limits: 3"), `tiers[0] (Pro).limits: Invalid value: 3: write an object such as {keys: 10}`},
		"a name that is a number": {head + "tiers: [{name: 3}]", `tiers[0].name: Invalid value: "": write 1 to 63 letters`},
		"several at once": {
			pro("auditlog: true\n    limits: {keys: -1, burst: x}") + "  - {name: '-', limits: {overage: None}}\n",
			`[tiers[0] (Pro).auditlog: Forbidden: unknown field; remove it, or correct its name, ` +
				`tiers[0] (Pro).limits.burst: Invalid value: "x": write a whole number from 1 to 1000000, or leave it out for no limit, ` +
				`tiers[0] (Pro).limits.keys: Invalid value: -1: write a whole number from 0 to 1000000, or leave it out for no limit, ` +
				`tiers[1].name: Invalid value: "-": write 1 to 63 letters, digits and dashes, with no dash at the ends, ` +
				`tiers[1].limits.overage: Unsupported value: "None": supported values: "Block", "Meter"]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "manager.yaml")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := tier.Load(path)
			if err == nil {
				t.Fatal("it is accepted")
			}
			if text := err.Error(); !strings.HasPrefix(text, path+": ") || !strings.Contains(text, test.says) ||
				strings.Contains(text, "\n") {
				t.Error(text)
			}
		})
	}
}

// TestShippedFileIsTheBuiltinCatalogue compares the configuration file in config/manager with the built-in catalogue.
func TestShippedFileIsTheBuiltinCatalogue(t *testing.T) {
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
			if problems := tier.ValidateLimits(&of.Limits, nil); len(problems) > 0 {
				t.Errorf("%s is accepted with %v", of.Name, problems)
			}
		}
	})
}
