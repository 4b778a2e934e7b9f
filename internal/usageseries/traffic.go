package usageseries

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// Other adds up the refusals whose codes have no number of their own.
	Other = "other"
	// maxCodes and maxOrigins are how many codes, Other not included, and origins the current day and each month have.
	maxCodes, maxOrigins = 15, 10
	// pastCodes and pastOrigins are how many an earlier day keeps: those with the most requests.
	pastCodes, pastOrigins = 4, 3
	// MaxOrigin is the longest origin that is counted, in bytes.
	MaxOrigin = 128
	// maxOriginBytes is how many bytes of JSON all origins may take, where originOverhead is that of one beside its text.
	maxOriginBytes, originOverhead = 16 << 10, 40
)

// add adds what was seen to counts.
func add(counts *v1alpha1.TrafficCounts, seen Traffic) {
	if seen.Public > 0 {
		counts.PublicRequests = plus(counts.PublicRequests, int64(seen.Public))
	}
	for _, code := range slices.Sorted(maps.Keys(seen.Refusals)) {
		if counts.Refusals == nil {
			counts.Refusals = map[string]int64{}
		}
		name := code
		if _, known := counts.Refusals[code]; !known && len(counts.Refusals) >= maxCodes {
			name = Other
		}
		counts.Refusals[name] += int64(seen.Refusals[code])
	}
	origins := slices.SortedFunc(maps.Keys(seen.Origins), func(a, b string) int {
		return cmp.Or(cmp.Compare(seen.Origins[b], seen.Origins[a]), strings.Compare(a, b))
	})
	for _, origin := range origins {
		count(counts, origin, int64(seen.Origins[origin]))
	}
	slices.SortStableFunc(counts.Origins, func(a, b v1alpha1.OriginCount) int {
		return cmp.Or(cmp.Compare(*b.Requests, *a.Requests), strings.Compare(a.Origin, b.Origin))
	})
}

// count counts requests from an origin, by the algorithm Space-Saving (Metwally, Agrawal and El Abbadi, ICDT 2005), for counts that
// grow by more than one: an origin that finds no room replaces the one with the fewest requests, and inherits its number. A number
// is too high by at most a tenth of all requests that have an origin, and never too low.
func count(counts *v1alpha1.TrafficCounts, origin string, requests int64) {
	if origin == "" || len(origin) > MaxOrigin {
		return
	}
	fewest := -1
	for i := range counts.Origins {
		o := &counts.Origins[i]
		if o.Requests == nil {
			o.Requests = ptr.To[int64](0) // somebody has edited it
		}
		if o.Origin == origin {
			o.Requests = plus(o.Requests, requests)
			return
		}
		if fewest < 0 || *o.Requests < *counts.Origins[fewest].Requests {
			fewest = i
		}
	}
	if len(counts.Origins) < maxOrigins {
		counts.Origins = append(counts.Origins, v1alpha1.OriginCount{Origin: origin, Requests: &requests})
		return
	}
	counts.Origins[fewest] = v1alpha1.OriginCount{Origin: origin, Requests: plus(counts.Origins[fewest].Requests, requests)}
}

// shorten leaves the most important numbers of each day but the latest.
func shorten(status *v1alpha1.GroupUsageStatus) {
	for i := range status.Days[min(1, len(status.Days)):] {
		d := &status.Days[i+1]
		d.Origins = slices.Clip(d.Origins[:min(len(d.Origins), pastOrigins)])
		if len(d.Refusals) <= pastCodes+1 {
			continue
		}
		kept := map[string]int64{Other: d.Refusals[Other]}
		delete(d.Refusals, Other)
		codes := slices.SortedFunc(maps.Keys(d.Refusals), func(a, b string) int {
			return cmp.Or(cmp.Compare(d.Refusals[b], d.Refusals[a]), strings.Compare(a, b))
		})
		for n, code := range codes {
			if n >= pastCodes {
				code = Other
			}
			kept[code] += d.Refusals[codes[n]]
		}
		d.Refusals = kept
	}
}

// bound leaves out the origins of what is longest ago until there is room for the rest.
func bound(status *v1alpha1.GroupUsageStatus) {
	left := maxOriginBytes
	within := func(counts *v1alpha1.TrafficCounts) {
		for i, o := range counts.Origins {
			if left -= len(o.Origin) + originOverhead; left < 0 {
				counts.Origins = slices.Clip(counts.Origins[:i])
				return
			}
		}
	}
	// The current month and day first, then the other months, of which there are few.
	if len(status.Months) > 0 {
		within(&status.Months[0].TrafficCounts)
	}
	if len(status.Days) > 0 {
		within(&status.Days[0].TrafficCounts)
	}
	for i := 1; i < len(status.Months); i++ {
		within(&status.Months[i].TrafficCounts)
	}
	for i := 1; i < len(status.Days); i++ {
		within(&status.Days[i].TrafficCounts)
	}
}
