package httpapi

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
		"X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Original-Path", "X-Forwarded-Uri", "X-Forwarded-Path",
		"X-Forwarded-Prefix", "X-Envoy-Original-Path", "X-Replaced-Path", "X-Script-Name",
		"X-Original-Host", "X-Host", "X-Forwarded-Server", "X-HTTP-Host-Override", "X-Accel-Mapping", "X-Sendfile-Type",
		"Method-Override", "Override-Method", "HTTP-Method-Override", "X-HTTP-Method-Overrides", "X-HTTP-Verb",
		"X-HTTP-Verb-Override", "Original-Url", "Original-Uri", "Rewrite-Url", "Request-Uri", "X-Override-Url", "X-Override-Host",
		"X-Url", "X-Uri", "X-Orig-Uri", "X-Requested-Url", "X-Rewrite-Uri", "Path-Info", "Script-Name", "X-Path-Info",
		"Destination", "Proxy",
	}
	knownForwarding = []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Ssl", "X-Forwarded-Scheme",
		"X-Forwarded-By", "X-Forwarded-Anything", "Forwarded", "X-Forwarded",
		"X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "X-Client-IP", "Client-IP",
		"X-Cluster-Client-IP", "Fastly-Client-IP", "X-Remote-Addr", "X-Originating-IP", "Front-End-Https", "WL-Proxy-Client-IP",
		"Remote-Addr", "Remote-User", "Incap-Client-IP", "Akamai-Client-IP",
	}
	harmless = []string{"Accept", "Accept-Encoding", "Content-Type", "Cookie", "Range", "If-None-Match", "User-Agent",
		"X-Requested-With", "X-Custom", "X-Forward", "X-Originals", "X-Original", "X-Hosts", "Traceparent", "Via", "X-Csrf-Token",
		"Client", "X", "Xx"}
)

// otherCharacters are those that a name may have (RFC 9110, section 5.6.2) beside letters, digits and '-'.
const otherCharacters = "!#$%&'*+.^_`|~"

// spellings are those that CGI and its successors fold into one, and some that nothing folds.
func spellings(name string) []string {
	var folded []string
	for _, c := range otherCharacters {
		folded = append(folded, strings.ReplaceAll(name, "-", string(c)), strings.ToUpper(strings.Replace(name, "-", string(c), 1)))
	}
	return append(folded, name, strings.ToLower(name), strings.ToUpper(name), http.CanonicalHeaderKey(name),
		strings.ReplaceAll(name, "-", "_"), strings.ToLower(strings.Replace(name, "-", "_", 1)),
		http.CanonicalHeaderKey(strings.ReplaceAll(name, "-", "_")))
}

// usual is the spelling of proxies and Keyward.
func usual(name string) bool { return !strings.ContainsAny(name, otherCharacters) }

func TestOverridesAreRemoved(t *testing.T) {
	keep := &Stripping{KeepOverrides: []string{"X-HTTP-Method-Override"}}
	stays := func(s *Stripping, name string, trusted bool) bool {
		header := http.Header{name: {"x"}}
		if left := s.Names(nil, header, Sender{Trusted: trusted}, nil); len(left) > 0 {
			s.Strip(header, Sender{Trusted: trusted})
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
				t.Errorf("%s passes in some places", spelled)
			}
		}
	}
	for _, name := range knownForwarding {
		for _, spelled := range spellings(name) {
			if stays(new(Stripping), spelled, false) {
				t.Errorf("%s of anybody stays", spelled)
			}
			if stays(new(Stripping), spelled, true) != usual(spelled) {
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

// TestReservedNamesAreRemovedInEverySpelling: CGI servers replace everything that is not a letter or digit by '_', so
// that X.Keyward.Group is HTTP_X_KEYWARD_GROUP for the program behind them.
func TestReservedNamesAreRemovedInEverySpelling(t *testing.T) {
	reserved := []string{HeaderGroup, HeaderKeyID, "X-Keyward-Context-Database", "X-Keyward-Anything", HeaderRequestID, HeaderAPIKey}
	for _, name := range reserved {
		for _, spelled := range spellings(name) {
			for _, s := range []*Stripping{{}, {KeepCredential: true}} {
				for _, trusted := range []bool{false, true} {
					header := http.Header{spelled: {"evil"}}
					named := s.Names(nil, header, Sender{Trusted: trusted}, nil)
					s.Strip(header, Sender{Trusted: trusted})
					kept := s.KeepCredential && strings.EqualFold(spelled, HeaderAPIKey)
					if (len(header) > 0) != kept || (len(named) > 0) == kept {
						t.Errorf("%s, with %+v: stays %v, named %v", spelled, s, header, named)
					}
				}
			}
			if MayTrail(spelled) || !MayBeRemoved(spelled) {
				t.Errorf("%s passes in some places", spelled)
			}
			if ours := strings.HasPrefix(name, "X-Keyward-"); IsReserved(spelled) != ours ||
				SendsReserved(http.Header{spelled: {"evil"}}) != ours {
				t.Errorf("%s is reserved: %v", spelled, !ours)
			}
		}
	}
	// In any spelling.
	rapid.Check(t, func(t *rapid.T) {
		var spelled strings.Builder
		for _, c := range rapid.SampledFrom(reserved).Draw(t, "name") {
			switch other := rapid.SampledFrom([]rune(otherCharacters+"-")).Draw(t, "other"); {
			case c == '-':
				spelled.WriteRune(other)
			case rapid.Bool().Draw(t, "upper"):
				spelled.WriteString(strings.ToUpper(string(c)))
			default:
				spelled.WriteString(strings.ToLower(string(c)))
			}
		}
		header := http.Header{spelled.String(): {"evil"}}
		if new(Stripping).Strip(header, Sender{Trusted: true}); len(header) > 0 {
			t.Errorf("%v stays", header)
		}
	})
}

// TestKindsFollowFolding: a name has the same kind as its folded form.
func TestKindsFollowFolding(t *testing.T) {
	for name := range unusualNames {
		if mayHave := strings.Count(name, "-"); strings.HasSuffix(name, "-") && mayHave > 2 {
			t.Errorf("the beginning %s is not looked for", name)
		}
	}
	standardForm := func(name string) kind {
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
		name = rapid.SampledFrom(append(spellings(name), name+"-", name+"x", "\u212a"+name, name+"\u212a",
			strings.Repeat(name, 3))).Draw(t, "spelled") + rapid.StringMatching("[-_a-cA-C.~|!]{0,3}").Draw(t, "end")
		if got, want := kindOf(name), standardForm(name); got != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
	})
}

func BenchmarkNames(b *testing.B) {
	header := http.Header{"Accept": {""}, "Accept-Encoding": {""}, "Authorization": {"Bearer x"}, "Cookie": {""},
		"User-Agent": {""}, "X-Request-Id": {""}, "X-Requested-With": {""}, "Referer": {""}}
	b.ReportAllocs()
	names := make([]string, 0, 8)
	for b.Loop() {
		names = new(Stripping).Names(names[:0], header, Sender{}, nil)
	}
}
