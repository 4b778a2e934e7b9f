package plugin

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/utils/ptr"
)

// The days that are shown, which are all with -o wide, and how many codes and origins.
const (
	shownDays, shownCounts = 7, 3
	originWidth            = 50
)

// series writes the latest days of a Group, and of its month what was refused and which origins the others came from.
func (p *page) series(v *usageView, wide bool) {
	number := numbers(wide)
	codes := slices.SortedFunc(maps.Keys(v.Refusals), func(a, b string) int {
		return cmp.Or(cmp.Compare(v.Refusals[b], v.Refusals[a]), strings.Compare(a, b))
	})
	if len(codes) > 0 {
		shown := codes
		if !wide {
			shown = codes[:min(len(codes), shownCounts)]
		}
		parts := []string{}
		for _, code := range shown {
			parts = append(parts, number(v.Refusals[code])+" "+code)
		}
		if len(shown) < len(codes) {
			parts = append(parts, "and others")
		}
		p.line("Refused: %s.", strings.Join(parts, ", "))
	}
	if v.Public > 0 {
		p.line("Without a key, for public paths: %s. No quota is about them.", number(v.Public))
	}
	p.origins(v, wide)
	if len(v.Days) == 0 {
		return
	}
	p.line("")
	rows := [][]cell{texts("DAY (UTC)", "REQUESTS", "BYTES", "REFUSED")}
	days := v.Days
	if !wide {
		days = days[:min(len(days), shownDays)]
	}
	for i := range days {
		d, refused := &days[i], int64(0)
		for _, n := range d.Refusals {
			refused += n
		}
		rows = append(rows, texts(d.Day, number(ptr.Deref(d.Requests, 0)), sizes(wide)(ptr.Deref(d.Bytes, 0)), number(refused)))
	}
	p.table(rows)
}

// origins writes the origins of the month with the most requests.
func (p *page) origins(v *usageView, wide bool) {
	shown := v.Origins
	if !wide {
		shown = shown[:min(len(shown), shownCounts)]
	}
	if len(shown) == 0 {
		return
	}
	rows := [][]cell{texts("ORIGIN", "REQUESTS, ABOUT")}
	for _, origin := range shown {
		text := origin.Origin
		if !wide {
			text = shorten(text, originWidth)
		}
		rows = append(rows, texts(text, numbers(wide)(ptr.Deref(origin.Requests, 0))))
	}
	p.line("")
	p.table(rows)
}
