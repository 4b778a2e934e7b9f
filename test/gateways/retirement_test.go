package gateways

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var instant = regexp.MustCompile(`^@[0-9]{10}$`) // RFC 9745, section 2.1

// retirement checks what clients read about a key that has a successor already: once, in the forms of the RFCs, so that pages may read it
// too, and not if the content server says that of its own content. Other keys have neither header.
func retirement(t *testing.T, c *client) string {
	ask := func(key, target string) outcome {
		got := c.roundTrip(t, c.address, testCase{target: target, headers: []string{"Authorization: Bearer {" + key + "}", "Origin: " + page}})
		if got.seen == nil {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return got
	}
	compare := func(name string, got outcome, deprecation, sunset string) {
		t.Helper()
		if theirs := got.header.Values("Deprecation"); strings.Join(theirs, "|") != deprecation || deprecation == "" && theirs != nil {
			t.Errorf("%s: Deprecation: %q", name, theirs)
		}
		if theirs := got.header.Values("Sunset"); strings.Join(theirs, "|") != sunset || sunset == "" && theirs != nil {
			t.Errorf("%s: Sunset: %q", name, theirs)
		}
	}
	compare("another key", ask("key", ""), "", "")
	compare("a content server that deprecates its own content", ask("retiring", "/media/1?say-deprecation=@1688169599"), "@1688169599", "")
	compare("one that says when it ends", ask("retiring", "/media/1?say-sunset=Wed,%2011%20Nov%202099%2011:11:11%20GMT"), "",
		"Wed, 11 Nov 2099 11:11:11 GMT")

	got := ask("retiring", "")
	since := got.header.Get("Deprecation")
	if since == "" && got.header.Get("Sunset") == "" {
		return "no"
	}
	if !instant.MatchString(since) {
		t.Errorf("Deprecation: %s", since)
	}
	compare("a key in its overlap", got, since, c.retires.UTC().Format(http.TimeFormat))
	readable := strings.Split(strings.ToLower(strings.Join(got.header.Values("Access-Control-Expose-Headers"), ", ")), ", ")
	if !slices.Contains(readable, "deprecation") || !slices.Contains(readable, "sunset") {
		t.Errorf("pages may read %q", readable)
	}
	return "yes"
}
