package httpwire

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Headers that are known to change what content servers do.
var (
	knownOverrides = []string{
		"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method", "X-Forwarded-Method",
		"X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Original-Path", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Envoy-Original-Path", "X-Replaced-Path", "X-Script-Name",
		"X-Original-Host", "X-Host", "X-Forwarded-Server", "X-HTTP-Host-Override", "X-Accel-Mapping", "X-Sendfile-Type",
	}
	knownForwarding = []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-By", "X-Forwarded-Anything", "Forwarded", "X-Forwarded",
		"X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Remote-Addr", "X-Originating-IP", "Front-End-Https", "WL-Proxy-Client-IP",
	}
	harmless = []string{"Accept", "Accept-Encoding", "Content-Type", "Cookie", "Range", "If-None-Match", "User-Agent", "X-Requested-With", "X-Custom", "X-Forward", "X-Originals", "X-Original", "X-Hosts", "Traceparent", "Via", "X-Csrf-Token", "Client", "X", "Xx"}
)

// spellings are those that CGI and its heirs fold into one, and some that nothing does.
func spellings(name string) []string {
	return []string{name, strings.ToLower(name), strings.ToUpper(name), http.CanonicalHeaderKey(name), strings.ReplaceAll(name, "-", "_"), strings.ToLower(strings.Replace(name, "-", "_", 1)), http.CanonicalHeaderKey(strings.ReplaceAll(name, "-", "_"))}
}

func TestOverridesAreRemoved(t *testing.T) {
	keep := &Stripping{KeepOverrides: []string{"X-HTTP-Method-Override"}}
	stays := func(s *Stripping, name string, believed bool) bool {
		header := http.Header{name: {"x"}}
		if left := s.Names(nil, header, believed, nil); len(left) > 0 {
			s.Strip(header, believed)
			if len(header) > 0 {
				t.Errorf("%s stays", name)
			}
			return false
		}
		return true
	}
	for _, name := range knownOverrides {
		for _, spelled := range spellings(name) {
			if stays(new(Stripping), spelled, false) || stays(new(Stripping), spelled, true) {
				t.Errorf("%s stays", spelled)
			}
			if stays(keep, spelled, false) != strings.EqualFold(spelled, keep.KeepOverrides[0]) {
				t.Errorf("%s, where %s is kept", spelled, keep.KeepOverrides)
			}
			if MayTrail(spelled) || !MayBeRemoved(spelled) || !IsOverride(spelled) {
				t.Errorf("%s is let through in places", spelled)
			}
		}
	}
	for _, name := range knownForwarding {
		for _, spelled := range spellings(name) {
			if stays(new(Stripping), spelled, false) {
				t.Errorf("%s of anybody stays", spelled)
			}
			if stays(new(Stripping), spelled, true) != !strings.Contains(spelled, "_") {
				t.Errorf("%s of a trusted proxy", spelled)
			}
			if MayTrail(spelled) || IsOverride(spelled) {
				t.Errorf("%s is an override, or trails", spelled)
			}
		}
	}
	for _, name := range harmless {
		if !stays(new(Stripping), name, false) {
			t.Errorf("%s is removed", name)
		}
	}
}

// TestKindsFollowFolding: names are known as they are when they are folded first.
func TestKindsFollowFolding(t *testing.T) {
	for name := range unusualNames {
		if mayHave := strings.Count(name, "-"); strings.HasSuffix(name, "-") && mayHave > 2 {
			t.Errorf("the beginning %s is not looked for", name)
		}
	}
	byTheBook := func(name string) kind {
		folded := fold(name)
		if kind, ok := unusualNames[folded]; ok {
			return kind
		}
		for begin, kind := range unusualNames {
			if strings.HasSuffix(begin, "-") && strings.HasPrefix(folded, begin) {
				return kind
			}
		}
		return ordinary
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(slices.Concat(knownOverrides, knownForwarding, harmless, []string{""})).Draw(t, "name")
		name = rapid.SampledFrom(append(spellings(name), name+"-", name+"x", "\u212a"+name, name+"\u212a", strings.Repeat(name, 3))).Draw(t, "spelled") + rapid.StringMatching(`[-_a-cA-C]{0,3}`).Draw(t, "end")
		if got, want := kindOf(name), byTheBook(name); got != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
	})
}

func BenchmarkNames(b *testing.B) {
	header := http.Header{"Accept": {""}, "Accept-Encoding": {""}, "Authorization": {"Bearer x"}, "Cookie": {""}, "User-Agent": {""}, "X-Request-Id": {""}, "X-Requested-With": {""}, "Referer": {""}}
	b.ReportAllocs()
	names := make([]string, 0, 8)
	for b.Loop() {
		names = new(Stripping).Names(names[:0], header, false, nil)
	}
}
