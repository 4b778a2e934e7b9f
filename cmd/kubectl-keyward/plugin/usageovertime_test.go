package plugin

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// overtime creates a Group that was used from a day on, with two keys.
func overtime(t *testing.T, name string, since time.Time) {
	t.Helper()
	namespace(t, name)
	month(t, name, "acme", func(*v1alpha1.Group) {})
	usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "acme"}}
	if err := admin.Create(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	totals := map[quotaledger.Span]usageseries.Totals{}
	for at := since; !at.After(now); at = at.AddDate(0, 0, 1) {
		of, requests := quotaledger.Schedule{}.At(at), uint64(1000*at.Day())
		is := totals[of]
		is.Requests, is.Bytes = is.Requests+requests, is.Bytes+1000*requests
		if of == (quotaledger.Schedule{}).Before(quotaledger.Schedule{}.At(now)) {
			is.OverageRequests, is.Unconfirmed = 12_000, 17
		}
		totals[of] = is
		usageseries.Record(&usage.Status, at, of, is)
		usageseries.RecordTraffic(&usage.Status, at, of, usageseries.Traffic{
			Refusals: map[string]uint64{"origin_denied": 7, "quota_exceeded": 2},
			Origins:  map[string]uint64{"https://shop.acme.com": requests - 10, "https://acme.com": 10},
		})
	}
	usageseries.Touch(&usage.Status, now)
	if err := admin.Status().Update(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	for key, requests := range map[string]uint64{"web": 900, "deploy": 100} {
		object(t, name, key, func(k *v1alpha1.ApiKey) {
			counted("acme", int64(requests*21), at(-time.Hour))(k)
			for at := since; !at.After(now); at = at.AddDate(0, 0, 1) {
				k.Status.Usage.Days = usageseries.AddToDay(k.Status.Usage.Days, at, requests)
			}
		})
	}
}

func TestUsageOverTime(t *testing.T) {
	overtime(t, "overtime", now.AddDate(0, 0, -80))
	usage := func(args ...string) result {
		return keyward(t, "", append([]string{"usage", "acme", "-n", "overtime"}, args...)...)
	}
	for name, args := range map[string][]string{
		"days": {"--days", "10"}, "months": {"--by", "month"}, "origins": {"--by", "origin", "--month", "2026-10"},
		"codes": {"--by", "code"}, "keys": {"--by", "key", "--days", "7"}, "last-month": {"--month", "2026-10"},
		"keys-of-last-month": {"--by", "key", "--month", "2026-10"},
		"csv":                {"--days", "3", "-o", "csv"}, "months-csv": {"--by", "month", "-o", "csv"}, "keys-csv": {"--by", "key", "-o", "csv"},
		"json": {"--days", "2", "-o", "json"}, "keys-json": {"--by", "key", "--days", "2", "-o", "json"},
	} {
		r := usage(args...)
		r.golden(t, "overtime-"+name)
		for _, line := range splitLines(r.out) {
			if utf8.RuneCountInString(line) > 140 || r.code != 0 {
				t.Errorf("%s: %d, %s", name, r.code, line)
			}
		}
	}
	if plain, table := usage(), usage("-o", "table"); plain != table || !strings.Contains(plain.out, "Requests") {
		t.Errorf("-o table differs from none:\n%s\n%s", plain.out, table.out)
	}
	if table := usage("--days", "3"); strings.Contains(table.out, "PUBLIC") {
		t.Errorf("a Group without public paths has a column for them:\n%s", table.out)
	}
	if days := len(splitLines(usage("-o", "csv").out)); days != 31 {
		t.Errorf("-o csv has %d lines, want 30 days and a head", days)
	}
	series := read[adminv1.UsageSeries](t, usage("--month", "2026-10", "-o", "json"))
	if series.From != "2026-10-01" || series.To != "2026-10-31" || series.Total.Requests != 496_000 || len(series.Points) != 31 {
		t.Errorf("%+v", series)
	}
}

// TestPublicOverTime: requests for public paths are shown where there are any, and are not among the others.
func TestPublicOverTime(t *testing.T) {
	overtime(t, "public-paths", now.AddDate(0, 0, -3))
	usage := &v1alpha1.GroupUsage{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: "public-paths", Name: "acme"}, usage); err != nil {
		t.Fatal(err)
	}
	usageseries.RecordTraffic(&usage.Status, now, quotaledger.Schedule{}.At(now), usageseries.Traffic{Public: 7})
	if err := admin.Status().Update(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"public-days": {"--days", "2"}, "public-csv": {"--by", "month", "-o", "csv"}} {
		keyward(t, "", append([]string{"usage", "acme", "-n", "public-paths"}, args...)...).golden(t, "overtime-"+name)
	}
}

// TestUsageOverTimeMistakes: each error names the flag, and what to write.
func TestUsageOverTimeMistakes(t *testing.T) {
	overtime(t, "mistakes", now)
	allowGroups(t, "mistakes", "half")
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such form":     {[]string{"--by", "hour"}, ExitUsage, "--by: write one of day, month, code, origin, key"},
		"no days":          {[]string{"--days", "0"}, ExitUsage, "--days: write a number from 1 to 62"},
		"too many days":    {[]string{"--days", "63"}, ExitUsage, "--by month"},
		"both":             {[]string{"--days", "3", "--month", "2026-10"}, ExitUsage, "write one of them"},
		"days of months":   {[]string{"--days", "3", "--by", "month"}, ExitUsage, "--by month shows all months"},
		"no month":         {[]string{"--month", "October"}, ExitUsage, "--month: write a month such as 2026-11"},
		"a day":            {[]string{"--month", "2026-11-20"}, ExitUsage, "--month: write a month such as 2026-11"},
		"a month to come":  {[]string{"--month", "2026-12"}, ExitUsage, "--month: it has not begun yet"},
		"long ago":         {[]string{"--month", "2026-01"}, ExitUsage, "only the last 62 days are kept"},
		"wide":             {[]string{"--days", "3", "-o", "wide"}, ExitUsage, "wide shows the month at a glance"},
		"no right":         {[]string{"--days", "3", "--as", "half"}, ExitError, "the verb get on groupusages.keyward.dev, which the role view has"},
		"no right to bill": {nil, ExitError, "groupusages.keyward.dev"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"usage", "acme"}, test.args...)
			if test.args == nil {
				args = []string{"billing", "export", "acme", "--period", "2026-11", "--as", "half"}
			}
			r := keyward(t, "", append(args, "-n", "mistakes")...).expect(t, test.code, test.want)
			if r.out != "" || len(splitLines(r.err)) != 1 {
				t.Errorf("not one line on standard error: %q %q", r.out, r.err)
			}
		})
	}
	month(t, "mistakes", "idle", func(*v1alpha1.Group) {})
	keyward(t, "", "usage", "idle", "-n", "mistakes", "--days", "2").expect(t, 0, "Nothing was used of Group mistakes/idle yet", "TOTAL")
}

// allowGroups lets a user read Groups and ApiKeys, and no GroupUsages.
func allowGroups(t *testing.T, namespace, user string) {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "half-"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"keyward.dev"}, Resources: []string{"groups", "apikeys"}, Verbs: []string{"get", "list"},
	}}}
	if err := rights(t).Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if err := rights(t).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "half-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the role is in force", func() bool {
		return keyward(t, "", "usage", "acme", "-n", namespace, "--as", user).code == 0
	})
}

// TestHostileUsage: what others have written into a status gives no orders to a terminal, and does not run in a spreadsheet.
func TestHostileUsage(t *testing.T) {
	namespace(t, "hostile-usage")
	month(t, "hostile-usage", "acme", func(*v1alpha1.Group) {})
	usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: "hostile-usage", Name: "acme"}}
	if err := admin.Create(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	usage.Status.Days = []v1alpha1.DayUsage{{Day: "2026-11-21", Requests: ptr.To[int64](5), TrafficCounts: v1alpha1.TrafficCounts{
		Refusals: map[string]int64{hostile: 3, "=cmd|' /C calc'!A0": 2},
		Origins:  []v1alpha1.OriginCount{{Origin: hostile, Requests: ptr.To[int64](3)}, {Origin: "@SUM(A1)", Requests: ptr.To[int64](2)}},
	}}}
	if err := admin.Status().Update(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"day", "code", "origin"} {
		for _, output := range []string{"table", "csv", "json", "yaml"} {
			r := keyward(t, "", "usage", "acme", "-n", "hostile-usage", "--by", by, "--days", "3", "-o", output).harmless(t).expect(t, 0)
			if output != "csv" {
				continue
			}
			lines, err := csv.NewReader(strings.NewReader(r.out)).ReadAll()
			if err != nil {
				t.Error(err)
			}
			for _, line := range lines {
				if strings.ContainsAny(line[0][:1], "=+-@\t") {
					t.Errorf("a spreadsheet runs %q", line[0])
				}
			}
		}
	}
}

func TestBillingExport(t *testing.T) {
	overtime(t, "billed", now.AddDate(0, 0, -80))
	export := func(args ...string) result {
		return keyward(t, "", append([]string{"billing", "export", "acme", "-n", "billed"}, args...)...)
	}
	// Ids have the UID of the Group in them, which differs in each run.
	same := func(r result) string {
		group := &v1alpha1.Group{}
		if err := admin.Get(t.Context(), keyOf("billed", "acme"), group); err != nil {
			t.Fatal(err)
		}
		lines := splitLines(r.out)
		for i, line := range lines[1:] {
			lines[i+1] = line[strings.Index(line, ",")+1:]
		}
		return strings.ReplaceAll(strings.Join(lines, "\n"), string(group.UID), "UID") + "\n" + r.err
	}
	golden(t, "billing-closed", same(export("--period", "2026-10").expect(t, 0, "closed")))
	golden(t, "billing-open", same(export("--period", "2026-11", "-o", "csv").expect(t, 0, "open", "The period is not over until 2026-12-01")))
	again := export("--period", "2026-10")
	if again != export("--period", "2026-10", "-o", "csv") {
		t.Error("the second export differs from the first")
	}
	focus := export("--period", "2026-10", "-o", "focus", "--provider", "Acme Media", "--currency", "EUR").expect(t, 0)
	lines, err := csv.NewReader(strings.NewReader(focus.out)).ReadAll()
	if err != nil || len(lines) != 5 || lines[1][1] != "billed/acme" || lines[1][2] != "Acme Inc" || lines[1][3] != "EUR" {
		t.Errorf("%v, %v", lines, err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no period":   {nil, "--period: write a month such as 2026-11"},
		"a day":       {[]string{"--period", "2026-11-01"}, "--period: write a month"},
		"before it":   {[]string{"--period", "2020-01"}, "the Group was created after this period"},
		"ahead":       {[]string{"--period", "2099-01"}, "this period has not begun"},
		"a currency":  {[]string{"--period", "2026-11", "--currency", "euro"}, "ISO 4217"},
		"an output":   {[]string{"--period", "2026-11", "-o", "json"}, "-o: write csv or focus"},
		"no argument": {[]string{"--period", "2026-11", "another"}, "accepts 1 arg"},
	} {
		t.Run(name, func(t *testing.T) { export(test.args...).expect(t, ExitUsage, test.want) })
	}
}

// TestSparkline: as many characters as numbers; nothing is lowest, the most is highest, and more is never lower.
func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		numbers []int64
		plain   string
		blocks  string
	}{
		{nil, "", ""},
		{[]int64{0, 0}, "__", "▁▁"},
		{[]int64{5}, "#", "█"},
		{[]int64{0, 1, 500, 999, 1000}, "_.=*#", "▁▂▅▇█"},
	} {
		if plain, blocks := sparkline(c.numbers, false), sparkline(c.numbers, true); plain != c.plain || blocks != c.blocks {
			t.Errorf("%v: %q %q", c.numbers, plain, blocks)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.Int64Range(-1, 1<<60)).Draw(t, "numbers")
		line := sparkline(numbers, false)
		if len(line) != len(numbers) {
			t.Fatalf("%d characters for %d numbers", len(line), len(numbers))
		}
		for i := range numbers {
			for j := range numbers {
				if numbers[i] <= numbers[j] && strings.IndexByte(plainLevels, line[i]) > strings.IndexByte(plainLevels, line[j]) {
					t.Fatalf("%d is higher than %d in %q", numbers[i], numbers[j], line)
				}
			}
			if (line[i] == plainLevels[0]) != (numbers[i] <= 0) {
				t.Fatalf("%d is %q", numbers[i], line[i])
			}
		}
	})
}

// TestBlocksNeedATerminal: what is not a terminal, or has another locale, gets ASCII.
func TestBlocksNeedATerminal(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	if showsBlocks(&strings.Builder{}) {
		t.Error("blocks are written into what is no terminal")
	}
}
