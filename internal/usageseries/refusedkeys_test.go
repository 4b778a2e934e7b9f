package usageseries_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// refusedBytes is how many bytes of JSON refused keys take at most.
const refusedBytes = 13 << 10

// drawRefusals draws reports of keys k0 to k7, within three days before an instant.
func drawRefusals(t *rapid.T, now time.Time) map[usageseries.KeyCode]usageseries.KeyRefusals {
	seen := map[usageseries.KeyCode]usageseries.KeyRefusals{}
	for range rapid.IntRange(0, 12).Draw(t, "refusals") {
		of := usageseries.KeyCode{
			Key:  fmt.Sprint("k", rapid.IntRange(0, 7).Draw(t, "key")),
			Code: rapid.SampledFrom([]string{"origin_denied", "key_expired", "rate_limited"}).Draw(t, "code"),
		}
		last := now.Add(-time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "ago")))
		seen[of] = seen[of].Plus(usageseries.KeyRefusals{
			Requests: rapid.Uint64Range(1, 1000).Draw(t, "requests"),
			First:    last.Add(-time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "lasted"))), Last: last,
			Origin: rapid.SampledFrom([]string{"", "https://a.example", "https://b.example"}).Draw(t, "origin"),
		})
	}
	return seen
}

// TestRefusalsAddUp: in any order of reports, the number, the first and the last instant are those of all together, and an origin is one of
// theirs.
func TestRefusalsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []usageseries.KeyRefusals
		for range rapid.IntRange(1, 3).Draw(t, "servers") {
			all = append(all, slices.Collect(maps.Values(drawRefusals(t, start)))...)
		}
		sum := func(all []usageseries.KeyRefusals) (sum usageseries.KeyRefusals) {
			for _, one := range all {
				sum = sum.Plus(one)
			}
			return sum
		}
		one, other := sum(all), sum(rapid.Permutation(all).Draw(t, "order"))
		if one.Requests != other.Requests || !one.First.Equal(other.First) || !one.Last.Equal(other.Last) || (one.Origin == "") != (other.Origin == "") {
			t.Fatalf("%+v, and in another order %+v", one, other)
		}
		for _, part := range all {
			if part.First.Before(one.First) || part.Last.After(one.Last) {
				t.Fatalf("%+v is not in %+v", part, one)
			}
		}
	})
	most := usageseries.KeyRefusals{Requests: math.MaxUint64}
	if sum := most.Plus(most); sum.Requests != quotaledger.Max {
		t.Errorf("%d, more than a counter may have", sum.Requests)
	}
}

// TestRecordRefusedKeys: regardless of what is reported, the list is sorted, each key and code is there once, none is of another Group's key or too long ago, and
// the number is that of the reports since the entry begins, as far as those follow each other.
func TestRecordRefusedKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		status, now := &v1alpha1.GroupUsageStatus{}, start
		total := map[usageseries.KeyCode]uint64{}
		for range rapid.IntRange(1, 12).Draw(t, "writes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(12*time.Hour)).Draw(t, "later")))
			seen, deleted := drawRefusals(t, now), fmt.Sprint("k", rapid.IntRange(0, 30).Draw(t, "deleted"))
			before := status.DeepCopy()
			usageseries.RecordRefusedKeys(status, now, seen, func(id string) (v1alpha1.KeyUsageOwner, bool) {
				if id == "k7" || id == deleted {
					return v1alpha1.KeyUsageOwner{}, false
				}
				return v1alpha1.KeyUsageOwner{Namespace: "tenants", Name: "key-" + id}, true
			})
			for of, is := range seen {
				total[of] += is.Requests
			}
			there := map[usageseries.KeyCode]bool{}
			for i := range status.RefusedKeys {
				is := &status.RefusedKeys[i]
				of := usageseries.KeyCode{Key: is.KeyID, Code: is.Code}
				switch {
				case there[of], is.KeyID == "k7", is.KeyID == deleted, is.APIKey.Name != "key-"+is.KeyID:
					t.Fatalf("%+v: twice, or nobody's", is)
				case now.Sub(is.LastAt.Time) > usageseries.RefusedKept+time.Second, is.LastAt.Before(&is.FirstAt):
					t.Fatalf("%+v at %v", is, now)
				case is.Requests < int64(seen[of].Requests), is.Requests > int64(total[of]):
					t.Fatalf("%+v, after %d of %d", is, seen[of].Requests, total[of])
				case i > 0 && status.RefusedKeys[i-1].LastAt.Before(&is.LastAt):
					t.Fatalf("%+v is out of order", is)
				}
				there[of] = true
			}
			for of, is := range seen {
				if !there[of] && of.Key != "k7" && of.Key != deleted && now.Sub(is.Last) < usageseries.RefusedKept {
					t.Fatalf("%+v is missing", of)
				}
			}
			for i := range before.RefusedKeys { // within a day, nothing that was counted is lost
				was := &before.RefusedKeys[i]
				of := usageseries.KeyCode{Key: was.KeyID, Code: was.Code}
				at := slices.IndexFunc(status.RefusedKeys, func(is v1alpha1.RefusedKey) bool { return is.KeyID == was.KeyID && is.Code == was.Code })
				if more := seen[of]; at >= 0 && more.Last.Sub(was.FirstAt.Time) <= 24*time.Hour &&
					status.RefusedKeys[at].Requests != was.Requests+int64(more.Requests) {
					t.Fatalf("%d, after %d and %d", status.RefusedKeys[at].Requests, was.Requests, more.Requests)
				}
			}
		}
	})
}

// TestRefusedKeysBeginAgain: a number says what happens lately: after a day it begins from 0 again, and after two days without a refusal it is gone.
func TestRefusedKeysBeginAgain(t *testing.T) {
	status, of := &v1alpha1.GroupUsageStatus{}, usageseries.KeyCode{Key: "k1", Code: "origin_denied"}
	owner := func(string) (v1alpha1.KeyUsageOwner, bool) {
		return v1alpha1.KeyUsageOwner{Namespace: "tenants", Name: "web"}, true
	}
	record := func(after time.Duration, requests uint64) {
		at, seen := start.Add(after), map[usageseries.KeyCode]usageseries.KeyRefusals{}
		if requests > 0 {
			seen[of] = usageseries.KeyRefusals{Requests: requests, First: at, Last: at}
		}
		usageseries.RecordRefusedKeys(status, at, seen, owner)
	}
	for _, step := range []struct {
		after          time.Duration
		requests, want int64
		since          time.Duration
	}{
		{0, 3, 3, 0}, {time.Hour, 4, 7, 0}, {23 * time.Hour, 0, 7, 0}, {24*time.Hour + time.Second, 2, 2, 24*time.Hour + time.Second},
		{72 * time.Hour, 0, 2, 24*time.Hour + time.Second}, {73 * time.Hour, 0, 0, 0},
	} {
		record(step.after, uint64(step.requests))
		switch {
		case step.want == 0 && len(status.RefusedKeys) == 0:
		case len(status.RefusedKeys) != 1, status.RefusedKeys[0].Requests != step.want, !status.RefusedKeys[0].FirstAt.Time.Equal(start.Add(step.since)):
			t.Errorf("after %v: %+v", step.after, status.RefusedKeys)
		}
	}
}

// TestLateReportsLoseNothing: a server that reports what it refused long ago, or whose clock is behind, neither moves back when an entry began nor ends its
// count.
func TestLateReportsLoseNothing(t *testing.T) {
	status, of := &v1alpha1.GroupUsageStatus{}, usageseries.KeyCode{Key: "k1", Code: "origin_denied"}
	record := func(at, first, last time.Time) {
		usageseries.RecordRefusedKeys(status, at, map[usageseries.KeyCode]usageseries.KeyRefusals{of: {Requests: 1, First: first, Last: last}},
			func(string) (v1alpha1.KeyUsageOwner, bool) {
				return v1alpha1.KeyUsageOwner{Namespace: "tenants", Name: "web"}, true
			})
	}
	for i := range 10 {
		at := start.Add(time.Duration(i) * time.Minute)
		record(at, at.Add(-30*time.Hour), at)                    // reported together with one whose clock is behind
		record(at, at.Add(-30*time.Hour), at.Add(-30*time.Hour)) // its clock is behind
		record(at, at.Add(-25*time.Hour), at)                    // it was disconnected
	}
	if is := status.RefusedKeys; len(is) != 1 || is[0].Requests != 30 || !is[0].FirstAt.Time.Equal(start.Add(-time.Hour)) {
		t.Errorf("%+v", is)
	}
}

// TestOriginOfCount: where a count begins again, the origin is one of that count, or not known.
func TestOriginOfCount(t *testing.T) {
	status, of := &v1alpha1.GroupUsageStatus{}, usageseries.KeyCode{Key: "k1", Code: "origin_missing"}
	for _, step := range []struct {
		after        time.Duration
		origin, want string
	}{{0, "https://a.example", "https://a.example"}, {time.Hour, "", "https://a.example"}, {25 * time.Hour, "", ""}, {26 * time.Hour, "https://b.example", "https://b.example"}} {
		at := start.Add(step.after)
		usageseries.RecordRefusedKeys(status, at, map[usageseries.KeyCode]usageseries.KeyRefusals{of: {Requests: 1, First: at, Last: at, Origin: step.origin}},
			func(string) (v1alpha1.KeyUsageOwner, bool) {
				return v1alpha1.KeyUsageOwner{Namespace: "tenants", Name: "web"}, true
			})
		if is := status.RefusedKeys; len(is) != 1 || is[0].Origin != step.want {
			t.Errorf("after %v: %+v", step.after, is)
		}
	}
}

// TestRefusedKeysAreBounded: there are at most 50, those that were refused last, and fewer if their names are very long.
func TestRefusedKeysAreBounded(t *testing.T) {
	for name, long := range map[string]int{"usual": 20, "longest": 253} {
		status, seen := &v1alpha1.GroupUsageStatus{}, map[usageseries.KeyCode]usageseries.KeyRefusals{}
		for i := range 200 {
			at := start.Add(-time.Duration(i) * time.Minute)
			seen[usageseries.KeyCode{Key: fmt.Sprintf("k%031d", i), Code: "url_invalid"}] = usageseries.KeyRefusals{
				Requests: quotaledger.Max, First: at, Last: at, Origin: "https://" + strings.Repeat("o", long/2),
			}
		}
		usageseries.RecordRefusedKeys(status, start, seen, func(string) (v1alpha1.KeyUsageOwner, bool) {
			return v1alpha1.KeyUsageOwner{Namespace: strings.Repeat("n", long/5), Name: strings.Repeat("w", long)}, true
		})
		encoded, err := json.Marshal(status.RefusedKeys)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d take %d bytes", name, len(status.RefusedKeys), len(encoded))
		if n := len(status.RefusedKeys); n > 50 || n < 10 || len(encoded) > refusedBytes || (name == "usual") != (n >= 40) {
			t.Errorf("%s: %d take %d bytes", name, n, len(encoded))
		}
		if first := status.RefusedKeys[0]; !first.LastAt.Time.Equal(start) {
			t.Errorf("the first is %+v", first)
		}
	}
}
