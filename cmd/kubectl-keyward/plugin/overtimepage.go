package plugin

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
)

// column is a column of usage over time.
type column struct {
	title, csv string
	isBytes    bool
	of         func(*adminv1.UsageAmounts) int64
}

var (
	requestsColumn = column{"REQUESTS", "requests", false, func(u *adminv1.UsageAmounts) int64 { return u.Requests }}
	refusedColumn  = column{"REFUSED", "refused", false, func(u *adminv1.UsageAmounts) int64 { return u.Refused }}
	publicColumn   = column{"PUBLIC", "public_requests", false, func(u *adminv1.UsageAmounts) int64 { return u.PublicRequests }}
	dayColumns     = []column{
		requestsColumn,
		{"BYTES", "bytes", true, func(u *adminv1.UsageAmounts) int64 { return u.Bytes }},
		refusedColumn,
	}
	columnsBy = map[string][]column{
		adminv1.ByHour: dayColumns[:2],
		adminv1.ByDay:  append(slices.Clone(dayColumns), publicColumn),
		adminv1.ByMonth: append(slices.Clone(dayColumns),
			column{"OVERAGE", "overage_requests", false, func(u *adminv1.UsageAmounts) int64 { return u.OverageRequests }},
			column{"OVERAGE BYTES", "overage_bytes", true, func(u *adminv1.UsageAmounts) int64 { return u.OverageBytes }},
			column{"UNCONFIRMED", "unconfirmed_requests", false, func(u *adminv1.UsageAmounts) int64 { return u.UnconfirmedRequests }},
			publicColumn),
		adminv1.ByCode:   {refusedColumn},
		adminv1.ByOrigin: {{"REQUESTS, ABOUT", "requests", false, requestsColumn.of}},
	}
)

func nameOf(p *adminv1.UsagePoint) string { return p.Hour + p.Day + p.Month + p.Code + p.Origin }

// linesOf returns a series as lines of CSV.
func linesOf(s *adminv1.UsageSeries) [][]string {
	columns, head := columnsBy[s.By], []string{s.By}
	for _, c := range columns {
		head = append(head, c.csv)
	}
	lines := [][]string{head}
	for i := range s.Points {
		line := []string{nameOf(&s.Points[i])}
		for _, c := range columns {
			line = append(line, strconv.FormatInt(c.of(&s.Points[i].UsageAmounts), 10))
		}
		lines = append(lines, line)
	}
	return lines
}

// sparkWidth is how many characters of a sparkline are in a line: four days of hours.
const sparkWidth = 96

// isTime reports whether the points of a series are one after the other.
func isTime(s *adminv1.UsageSeries) bool {
	return s.By == adminv1.ByHour || s.By == adminv1.ByDay || s.By == adminv1.ByMonth
}

// overTime writes a series: a sparkline of hours, days or months, a table, the latest first, and the total.
func (p *page) overTime(s *adminv1.UsageSeries, limit int) {
	p.line("Group %s by %s (UTC): %s", p.paint(bold, s.Group), s.By, span(s.From, s.To))
	if isTime(s) {
		numbersOf, most := []int64{}, int64(0)
		for i := range s.Points {
			numbersOf, most = append(numbersOf, s.Points[i].Requests), max(most, s.Points[i].Requests)
		}
		p.line("")
		spark, article := []rune(sparkline(numbersOf, p.blocks)), "a"
		for ; len(spark) > sparkWidth; spark = spark[sparkWidth:] {
			p.line("%s", string(spark[:sparkWidth]))
		}
		if s.By == adminv1.ByHour {
			article = "an"
		}
		p.line("%s  at most %s requests %s %s", string(spark), numbers(false)(most), article, s.By)
		limit = 0
	}
	p.line("")
	p.points(s, limit, "--limit")
}

func span(from, to string) string {
	if from == to {
		return from
	}
	return from + " to " + to
}

// points writes the table of a series. more is the flag that shows what is left out.
func (p *page) points(s *adminv1.UsageSeries, limit int, more string) {
	columns, points := slices.Clone(columnsBy[s.By]), slices.Clone(s.Points)
	if s.Total.PublicRequests == 0 {
		columns = slices.DeleteFunc(columns, func(c column) bool { return c.title == publicColumn.title })
	}
	head := texts(strings.ToUpper(s.By))
	for _, c := range columns {
		head = append(head, cell{text: c.title})
	}
	if isTime(s) {
		slices.Reverse(points)
	} else {
		head = append(head, cell{text: "SHARE"})
	}
	shown := points
	if limit > 0 {
		shown = points[:min(limit, len(points))]
	}
	rows := [][]cell{head}
	row := func(name string, amounts *adminv1.UsageAmounts) {
		cells := texts(shorten(name, originWidth))
		for _, c := range columns {
			text := numbers(false)
			if c.isBytes {
				text = sizes(false)
			}
			cells = append(cells, cell{text: text(c.of(amounts))})
		}
		if !isTime(s) {
			cells = append(cells, cell{text: share(columns[0].of(amounts), columns[0].of(&s.Total))})
		}
		rows = append(rows, cells)
	}
	for i := range shown {
		row(nameOf(&shown[i]), &shown[i].UsageAmounts)
	}
	row("TOTAL", &s.Total)
	p.table(rows)
	if left := len(points) - len(shown); left > 0 {
		p.line("Left out: %d with less; %s shows more.", left, more)
	}
}

func share(n, of int64) string {
	if of <= 0 {
		return "-"
	}
	return fmt.Sprintf("%d %%", int(math.Round(float64(n)/float64(of)*fullPercent)))
}

// foreseen writes what the quota of the month is used to, and what will be by its end.
func (p *page) foreseen(v *usageView, begin, end time.Time) {
	use, number := &v.Requests, numbers(false)
	p.line("")
	text := fmt.Sprintf("%s until now: %s requests", v.Period, number(use.Used))
	if use.Limit != nil {
		text = fmt.Sprintf("%s until now: %s of %s requests (%d %%)", v.Period, number(use.Used), number(*use.Limit), *use.Percent)
	}
	if use.Overage > 0 {
		text += fmt.Sprintf(", %s of them metered as overage", number(use.Overage))
	}
	p.line("%s.", text)
	if use.Forecast == 0 {
		return
	}
	const day = 24 * time.Hour
	text = fmt.Sprintf("Forecast: %s by its end, if the rest is used like the %.1f days of %.0f until now",
		number(use.Forecast), float64(p.now.Sub(begin))/float64(day), float64(end.Sub(begin))/float64(day))
	if use.UsedUpAt != nil {
		text += "; all are used on " + use.UsedUpAt.UTC().Format("Monday, January 2")
	}
	p.line("%s.", text)
}

// lines returns the keys as lines of CSV.
func (v *keySeries) lines() [][]string {
	lines := [][]string{{"namespace", "name", "key_id", "state", "requests", "complete", "last_used_at"}}
	for i := range v.Keys {
		k := &v.Keys[i]
		lines = append(lines, []string{
			k.Namespace, k.Name, k.KeyID, string(k.State), strconv.FormatInt(k.Requests, 10), strconv.FormatBool(k.Complete), stamp(k.LastUsedAt),
		})
	}
	return lines
}

func stamp(at *metav1.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// keySeries writes the keys of a Group, those with the most requests first.
func (p *page) keySeries(v *keySeries, limit int) {
	p.line("Group %s by key (UTC): %s", p.paint(bold, v.Group), span(v.From, v.To))
	p.line("")
	if len(v.Keys) == 0 {
		p.line("It has no keys.")
		return
	}
	namespace, _, _ := strings.Cut(v.Group, "/")
	shown := v.Keys
	if limit > 0 {
		shown = shown[:min(limit, len(shown))]
	}
	rows, partly := [][]cell{texts("KEY", "STATE", "REQUESTS", "SHARE", "LAST USED")}, false
	for i := range shown {
		k := &shown[i]
		name, number, used := k.Name, numbers(false)(k.Requests), "-"
		if k.Namespace != namespace {
			name = k.Namespace + "/" + k.Name
		}
		if !k.Complete {
			number, partly = number+"*", true
		}
		if k.LastUsedAt != nil {
			used = p.distance(k.LastUsedAt)
		}
		rows = append(rows, []cell{
			{shorten(name, nameWidth), bold}, {string(k.State), stateStyle(k.State)}, {text: number}, {text: share(k.Requests, v.Total)}, {text: used},
		})
	}
	rows = append(rows, texts("TOTAL", "", numbers(false)(v.Total)))
	p.table(rows)
	if partly {
		p.line("* or more: only the last 31 days of a key are kept.")
	}
	if more := len(v.Keys) - len(shown); more > 0 {
		p.line("Left out: %d with fewer requests; --limit shows more.", more)
	}
}
