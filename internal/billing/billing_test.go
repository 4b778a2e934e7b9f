package billing_test

import (
	"bytes"
	"encoding/csv"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/billing"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

var acme = billing.Subject{Group: "acme/acme", Name: "Acme Inc", UID: "1f0c", Tier: "Pro"}

func november(t testing.TB, counts v1alpha1.UsageCounts) *usagequery.Period {
	t.Helper()
	status := &v1alpha1.GroupUsageStatus{Months: []v1alpha1.MonthUsage{{Month: "2026-11", UsageCounts: counts}}}
	period, err := (&usagequery.Usage{Status: status}).PeriodNamed("2026-11")
	if err != nil {
		t.Fatal(err)
	}
	return &period
}

func date(month time.Month, day int) time.Time {
	return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC)
}

// TestNothingIsBilledTwice: the meters of requests add up to the requests that were allowed, and those of bytes to the bytes.
func TestNothingIsBilledTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(0, 1<<51)
		counts := v1alpha1.UsageCounts{
			Requests: ptr.To(number.Draw(t, "requests")), Bytes: ptr.To(number.Draw(t, "bytes")),
			OverageRequests: ptr.To(number.Draw(t, "overage")), OverageBytes: ptr.To(number.Draw(t, "overage bytes")),
			UnconfirmedRequests: ptr.To(number.Draw(t, "unconfirmed")),
		}
		status := &v1alpha1.GroupUsageStatus{Months: []v1alpha1.MonthUsage{{
			Month: "2026-11", UsageCounts: counts,
			TrafficCounts: v1alpha1.TrafficCounts{PublicRequests: ptr.To(number.Draw(t, "public"))}, // they use no quota
		}}}
		period, err := (&usagequery.Usage{Status: status}).PeriodNamed("2026-11")
		if err != nil {
			t.Fatal(err)
		}
		sums, ids := map[string]int64{}, map[string]bool{}
		statement := billing.Of(acme, &period, date(12, 2))
		for _, row := range statement.Rows {
			if row.Quantity < 0 {
				t.Fatalf("%+v", row)
			}
			sums[row.Unit] += row.Quantity
			ids[row.ID] = true
		}
		if sums["Requests"] != *counts.Requests || sums["B"] != *counts.Bytes || len(ids) != len(statement.Rows) {
			t.Fatalf("%+v of %+v", statement.Rows, counts)
		}
	})
}

// TestIDsAreFixed: the id of a row depends on the Group, the period and the meter, and on nothing else. Receivers have seen these ids:
// they never change.
func TestIDsAreFixed(t *testing.T) {
	ids := func(subject billing.Subject, requests int64, now time.Time) (ids []string) {
		statement := billing.Of(subject, november(t, v1alpha1.UsageCounts{Requests: &requests}), now)
		for _, row := range statement.Rows {
			ids = append(ids, row.ID)
		}
		return ids
	}
	first := ids(acme, 1, date(11, 2))
	again := acme
	again.Name, again.Tier = "Renamed", "Free"
	if later := ids(again, 2, date(12, 30)); !slices.Equal(first, later) {
		t.Errorf("%v, later %v", first, later)
	}
	other := acme
	other.UID = "another Group of the name"
	for _, id := range ids(other, 1, date(11, 2)) {
		if slices.Contains(first, id) {
			t.Errorf("another Group has the id %s, too", id)
		}
	}
	if first[0] != "3399247dcbccdbdda8ab2815cb51576e" {
		t.Errorf("the id was another in earlier exports, and is %s", first[0])
	}
}

// TestStates: a period is final when its ledger is gone.
func TestStates(t *testing.T) {
	for at, want := range map[time.Time]billing.State{
		date(11, 1): billing.Open, date(12, 1).Add(-1): billing.Open, date(12, 1): billing.Closed, date(12, 31): billing.Closed,
		date(13, 1): billing.Closed, date(13, 10): billing.Final,
	} {
		if got := billing.Of(acme, november(t, v1alpha1.UsageCounts{}), at).State; got != want {
			t.Errorf("at %s it is %s, want %s", at, got, want)
		}
	}
}

func TestCSV(t *testing.T) {
	statement := billing.Of(acme, november(t, v1alpha1.UsageCounts{
		Requests: ptr.To[int64](712_000), OverageRequests: ptr.To[int64](212_000), Bytes: ptr.To[int64](5),
	}), date(12, 2))
	var out bytes.Buffer
	if err := statement.WriteCSV(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if lines[0] != "id,group,group_uid,tier,period,period_start,period_end,state,meter,unit,quantity" || len(lines) != 7 ||
		!strings.HasSuffix(lines[1], ",acme/acme,1f0c,Pro,2026-11,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,closed,requests,Requests,500000") ||
		!strings.HasSuffix(lines[2], ",overage_requests,Requests,212000") {
		t.Errorf("%s", out.String())
	}
}

// mandatory are the columns that FOCUS 1.2 requires in each dataset, with the form of their values; those that may be null match "".
var mandatory = map[string]string{
	"BilledCost": decimal, "BillingAccountId": text, "BillingAccountName": text, "BillingCurrency": `^[A-Z]{3}$`,
	"BillingPeriodEnd": dateTime, "BillingPeriodStart": dateTime, "ChargeCategory": `^(Usage|Purchase|Tax|Credit|Adjustment)$`,
	"ChargeClass": `^(Correction)?$`, "ChargeDescription": text, "ChargePeriodEnd": dateTime, "ChargePeriodStart": dateTime,
	"ContractedCost": decimal, "EffectiveCost": decimal, "InvoiceIssuerName": text, "ListCost": decimal, "PricingQuantity": decimal,
	"PricingUnit": `^(Requests|B)$`, "ProviderName": text, "PublisherName": text,
	"ServiceCategory": `^(AI and Machine Learning|Analytics|Business Applications|Compute|Databases|Developer Tools|Multicloud|Identity|` +
		`Integration|Internet of Things|Management and Governance|Media|Migration|Mobile|Networking|Security|Storage|Web|Other)$`,
	"ServiceName": text,
}

// others are columns that FOCUS 1.2 requires under conditions.
var others = map[string]string{
	"ChargeFrequency": `^(One-Time|Recurring|Usage-Based)$`, "ConsumedQuantity": `^[1-9][0-9]*$`, "ConsumedUnit": `^(Requests|B)$`,
	"SkuId": text, "SkuPriceId": text,
}

const (
	decimal  = `^-?[0-9]+(\.[0-9]+)?$`
	dateTime = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	text     = `.`
)

// TestFocus: each mandatory column of FOCUS is there, further ones are known or begin with x_ and are last, and each value has the form of
// its column.
func TestFocus(t *testing.T) {
	if billing.FocusVersion != "1.2" || len(mandatory) != 21 {
		t.Fatal("the columns above are those of 1.2, which has 21")
	}
	statement := billing.Of(acme, november(t, v1alpha1.UsageCounts{
		Requests: ptr.To[int64](712_000), OverageRequests: ptr.To[int64](212_000), UnconfirmedRequests: ptr.To[int64](1),
		Bytes: ptr.To[int64](1 << 50), OverageBytes: ptr.To[int64](3),
	}), date(12, 2))
	var out bytes.Buffer
	if err := statement.WriteFocus(&out, billing.FocusOptions{Provider: "Acme Media", Currency: "EUR"}); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(lines) != 6 {
		t.Fatalf("%v, %d lines", err, len(lines))
	}
	names := lines[0]
	for name := range mandatory {
		if !slices.Contains(names, name) {
			t.Errorf("the mandatory column %s is missing", name)
		}
	}
	custom := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "x_") })
	if !slices.IsSorted(names[:custom]) {
		t.Errorf("the columns are not sorted: %v", names)
	}
	for i, name := range names {
		form, known := mandatory[name]
		if !known {
			form, known = others[name]
		}
		if isCustom := strings.HasPrefix(name, "x_"); known == isCustom || isCustom != (i >= custom) {
			t.Errorf("%s: neither a column of FOCUS nor, at the end, one of ours", name)
		}
		if len(name) > 50 {
			t.Errorf("%s is longer than columns should be", name)
		}
		for _, line := range lines[1:] {
			if known && !regexp.MustCompile(form).MatchString(line[i]) {
				t.Errorf("%s has %q, want %s", name, line[i], form)
			}
		}
	}
	sum := 0.0
	for _, line := range lines[1:] {
		n, err := strconv.ParseFloat(line[slices.Index(names, "ConsumedQuantity")], 64)
		if err != nil {
			t.Error(err)
		}
		sum += n
	}
	if sum != 712_000+1<<50 {
		t.Errorf("the quantities add up to %v", sum)
	}
}

// TestNoFormulas: what others have written does not run in a spreadsheet.
func TestNoFormulas(t *testing.T) {
	for _, hostile := range []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"} {
		var out bytes.Buffer
		if err := billing.WriteLines(&out, [][]string{{"a", hostile}}); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&out).ReadAll()
		if err != nil || !strings.HasPrefix(lines[0][1], "'") {
			t.Errorf("%q becomes %q, %v", hostile, lines, err)
		}
	}
}

// FuzzLines: any text is read back as it was, but for the apostrophe and line ends, and is on one line.
func FuzzLines(f *testing.F) {
	f.Add("https://acme.com", "a,b\"c\n")
	f.Add("=1", "\r\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		var out bytes.Buffer
		if err := billing.WriteLines(&out, [][]string{{"x", a, b}}); err != nil {
			t.Fatal(err)
		}
		if written := out.String(); strings.Count(written, "\n") != 1 {
			t.Fatalf("%q has several lines", written)
		}
		lines, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(lines) != 1 || len(lines[0]) != 3 {
			t.Fatalf("%q, %v", lines, err)
		}
		same := func(got, want string) bool {
			want = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ").Replace(want)
			return got == want || got == "'"+want
		}
		if !same(lines[0][1], a) || !same(lines[0][2], b) {
			t.Fatalf("%q and %q become %q", a, b, lines[0])
		}
	})
}
