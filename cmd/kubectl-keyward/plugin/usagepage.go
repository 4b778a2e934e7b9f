package plugin

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

const (
	// outputWide is -o wide.
	outputWide = "wide"

	// barWidth and nameWidth keep lines within 80 columns.
	barWidth, nameWidth = 15, 36
	// From commaMost on, numbers are rounded.
	commaMost = 10_000_000

	lowPercent, fullPercent = 80, 100
)

// usage writes a Group's month.
func (p *page) usage(v *usageView, limit int, wide bool) {
	tier := ""
	if v.Tier != "" {
		tier = ", tier " + v.Tier
	}
	p.line("Group %s%s", p.paint(bold, v.Namespace+"/"+v.Name), tier)
	p.line("%s (UTC): %s, until %s", v.Period, daysLeft(v.DaysLeft), v.ResetsAt.UTC().Format(minute))
	for _, at := range v.Attention {
		s := yellow
		if at.Urgent {
			s = red
		}
		p.line("%s %s", p.paint(s, "! "+at.Reason+":"), at.Message)
	}
	p.line("")
	rows := [][]cell{
		use("Requests", &v.Requests, numbers(wide)),
		use("Bytes", &v.Bytes, sizes(wide)),
		use("Keys", &v.Keys, numbers(wide)),
	}
	p.table(rows)
	p.beyond(v, wide)
	p.series(v, wide)
	p.line("")
	p.byKey(v, limit, wide)
}

func daysLeft(days int) string {
	if days == 1 {
		return "1 day left"
	}
	return fmt.Sprintf("%d days left", days)
}

// use returns one line: a bar, the share, the amounts, and the forecast.
func use(name string, u *useView, text func(int64) string) []cell {
	amounts, foreseen := text(u.Used), ""
	if u.Forecast > 0 {
		foreseen = "forecast " + text(u.Forecast)
	}
	if u.Limit == nil {
		return texts(name, "", amounts+", no limit", foreseen)
	}
	s := green
	switch {
	case *u.Percent >= fullPercent:
		s = red
	case *u.Percent >= lowPercent:
		s = yellow
	}
	return []cell{{text: name}, {bar(*u.Percent) + " " + percentage(*u.Percent), s},
		{text: amounts + " of " + text(*u.Limit)}, {text: foreseen}}
}

func percentage(percent int64) string {
	const most = 999
	if percent > most {
		return fmt.Sprintf(">%d%%", most)
	}
	return fmt.Sprintf("%3d %%", percent)
}

// bar returns a bar that is full only if everything is used, and empty only if nothing is.
func bar(percent int64) string {
	full := int(min(percent, fullPercent)) * barWidth / fullPercent
	if percent > 0 {
		full = max(full, 1)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

// beyond writes what was used beyond the quotas.
func (p *page) beyond(v *usageView, wide bool) {
	if v.Requests.Overage > 0 || v.Bytes.Overage > 0 {
		p.line("Overage: %s requests and %s beyond the quotas, metered.", numbers(wide)(v.Requests.Overage), sizes(wide)(v.Bytes.Overage))
	}
	if v.UnconfirmedRequests > 0 {
		p.line("Unconfirmed: %s requests on top, while the manager was unreachable.", numbers(wide)(v.UnconfirmedRequests))
	}
}

// byKey writes the keys, those with the most requests first.
func (p *page) byKey(v *usageView, limit int, wide bool) {
	if len(v.ByKey) == 0 {
		p.line("It has no keys.")
		return
	}
	sum := int64(0)
	for i := range v.ByKey {
		sum += v.ByKey[i].Requests
	}
	header := texts("KEY", "STATE", "REQUESTS", "SHARE", "LAST USED")
	// Without -o wide there is no room for a column.
	quotas := wide && slices.ContainsFunc(v.ByKey, func(k keyUseView) bool { return k.Quota != nil })
	if quotas {
		header = append(header, texts("QUOTA")...)
	}
	if wide {
		header = append(header, texts("PREVIEW", "KEY ID")...)
	}
	rows := [][]cell{header}
	shown := v.ByKey
	if limit > 0 && len(shown) > limit {
		shown = shown[:limit]
	}
	for i := range shown {
		rows = append(rows, p.keyUse(v, &shown[i], sum, wide, quotas))
	}
	p.table(rows)
	for i := range shown {
		if quota := shown[i].Quota; quota != nil && !wide {
			p.line("Quota of %s: %s", shorten(v.nameOf(&shown[i]), nameWidth), quota.text(numbers(wide)))
		}
	}
	if more := len(v.ByKey) - len(shown); more > 0 {
		p.line("Left out: %d with fewer requests; --limit shows more.", more)
	}
}

func (p *page) keyUse(v *usageView, k *keyUseView, sum int64, wide, quotas bool) []cell {
	name, used, share := v.nameOf(k), "-", "-"
	if sum > 0 {
		share = fmt.Sprintf("%d %%", int(math.Round(float64(k.Requests)/float64(sum)*fullPercent)))
	}
	if k.LastUsedAt != nil {
		used = p.distance(k.LastUsedAt)
		if wide {
			used = p.when(k.LastUsedAt, instant)
		}
	}
	if !wide {
		name = shorten(name, nameWidth)
	}
	row := []cell{{name, bold}, {string(k.State), stateStyle(k.State)}, {text: numbers(wide)(k.Requests)}, {text: share}, {text: used}}
	if quotas {
		row = append(row, texts(k.Quota.text(numbers(wide)))...)
	}
	if wide {
		row = append(row, texts(or(k.Preview, "-"), or(k.KeyID, "-"))...)
	}
	return row
}

// nameOf returns the name of a key, with its namespace if it is not in that of the Group.
func (v *usageView) nameOf(k *keyUseView) string {
	if k.Namespace != v.Namespace {
		return k.Namespace + "/" + k.Name
	}
	return k.Name
}

// text says what is used of a quota.
func (v *useView) text(number func(int64) string) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%s of %s (%d %%)", number(v.Used), number(*v.Limit), *v.Percent)
}

// shorten leaves out the middle, where names differ least.
func shorten(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	half := (width - 1) / 2
	runes := []rune(text)
	return string(runes[:half]) + "…" + string(runes[len(runes)-(width-1-half):])
}

// numbers returns a function that writes counts, exactly if there is room.
func numbers(exact bool) func(int64) string {
	return func(n int64) string {
		if exact || n < commaMost {
			return humanize.Comma(n)
		}
		return strings.TrimSpace(humanize.SIWithDigits(float64(n), 1, ""))
	}
}

// sizes returns a function that writes bytes in powers of 1000, as limits usually are.
func sizes(exact bool) func(int64) string {
	return func(n int64) string {
		if exact {
			return humanize.Comma(n)
		}
		return humanize.Bytes(uint64(max(0, n)))
	}
}
