package conformance

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	fuzzMethods = []string{"GET", "POST", "PUT", "OPTIONS", "DELETE", "get", "PATCH"}

	// fuzzNames are chosen by a letter, modulo their number. More would change what all recorded inputs send, so others have
	// letters of their own.
	fuzzNames = []string{"Authorization", "X-Api-Key", "Origin", "Referer", "Access-Control-Request-Method",
		"Access-Control-Request-Headers", "X-Other", "X-Request-Id", "X-Keyward-Group", "X_Keyward_Project"}
	fuzzOthers = map[byte]string{'s': "Sec-Fetch-Site", 't': "X.Keyward.Tier"}

	fuzzProjects = []string{"", "", "marketing", "web", "nope"}

	// plausibleHost is what every server on the way accepts as a host. HTTP servers refuse others before an integration
	// sees them.
	plausibleHost = regexp.MustCompile(`^([A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+\.?(:[0-9]{1,5})?$|^\[[0-9a-f:]{2,39}\](:[0-9]{1,5})?$`)
)

// fuzzed makes a request of a fuzzer's input. Each line begins with a letter that selects its name; {good} and similar
// words stand for keys.
func fuzzed(keys keyring, method, project byte, host, target, lines string) (testRequest, bool) {
	e := testRequest{method: fuzzMethods[int(method)%len(fuzzMethods)], project: fuzzProjects[int(project)%len(fuzzProjects)],
		host: host, target: "/" + target}
	if !plausibleHost.MatchString(host) || !utf8.ValidString(target) || !utf8.ValidString(lines) ||
		len(host)+len(target)+len(lines) > 4<<10 || strings.ContainsAny(target, " \t") || hasControls(target) {
		return e, false
	}
	for line := range strings.SplitSeq(lines, "\n") {
		if line == "" {
			continue
		}
		value := strings.Trim(keys.fill(line[1:]), " \t")
		if hasControls(value) || !utf8.ValidString(value) || len(e.lines) > 12 {
			return e, false
		}
		name, ok := fuzzOthers[line[0]]
		if !ok {
			name = fuzzNames[int(line[0])%len(fuzzNames)]
		}
		e.lines = append(e.lines, name+": "+value)
	}
	return e, true
}

// TestRecordedInputsSendKeys: the letters in recorded inputs mean what they meant when they were recorded.
func TestRecordedInputsSendKeys(t *testing.T) {
	keys, _ := snapshot(t)
	for line, want := range map[string]string{
		"FBearer {good}": "Authorization: Bearer " + keys["good"].Reveal(), "2{good}": "Authorization: " + keys["good"].Reveal(),
		"G{good}": "X-Api-Key: " + keys["good"].Reveal(), "Hhttps://www.acme.example": "Origin: https://www.acme.example",
		"zhttps://www.acme.example": "Origin: https://www.acme.example", "Ihttps://www.acme.example/": "Referer: https://www.acme.example/",
		"JPOST": "Access-Control-Request-Method: POST", "Kx-a": "Access-Control-Request-Headers: x-a", "Lx": "X-Other: x", "Mmine": "X-Request-Id: mine",
		"Nevil": "X-Keyward-Group: evil", "Oevil": "X_Keyward_Project: evil", "ssame-origin": "Sec-Fetch-Site: same-origin", "tevil": "X.Keyward.Tier: evil",
	} {
		if e, ok := fuzzed(keys, 0, 0, "cdn.acme.example", "", line); !ok || !slices.Equal(e.lines, []string{want}) {
			t.Errorf("%s sends %q, want %s", line, e.lines, want)
		}
	}
}

func hasControls(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return c < 0x20 && c != '\t' || c == 0x7f })
}

// FuzzIntegrations asks all integrations except API Gateway's, which does not get enough information: there is one
// verdict, and everything that is allowed arrives as it was decided on (which the reverse proxy's integration checks)
// and without anything that the upstream must not see.
func FuzzIntegrations(f *testing.F) {
	for i, path := range segments {
		f.Add(byte(i), byte(i/7), hosts[i%len(hosts)], "api/scenes/"+path+queries[i%len(queries)],
			"F"+schemes[i%len(schemes)]+"{good}\nH"+origins[i%len(origins)])
	}
	f.Add(byte(0), byte(0), "cdn.acme.example", "api/scenes/mkt-1", "FBearer {good}\nIhttps://www.acme.example/\nLx\nMmine\nNevil\nOevil")
	f.Add(byte(3), byte(0), "cdn.acme.example", "tenant/checkout/sessions", "Hhttps://www.acme.example\nJPOST\nKx-a,*")
	f.Add(byte(0), byte(0), "www.acme.example", "api/scenes/web-1", "FBearer {browser}\nssame-origin\ntevil")
	f.Add(byte(0), byte(1), "h", "a%2fb|", "F{solo}")

	keys, update := snapshot(f)
	opened := inBothPositions(f, newAuthorizer(f, worldFailed, update))
	names := make([]string, 0, len(opened))
	for name := range opened {
		if !strings.HasPrefix(name, "aws") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	f.Fuzz(func(t *testing.T, method, project byte, host, target, lines string) {
		e, ok := fuzzed(keys, method, project, host, target, lines)
		if !ok {
			return
		}
		first := opened[names[0]](t, e)
		for _, name := range names[1:] {
			if strings.HasPrefix(name, "verifyapi") && strings.Contains(e.target, "#") {
				continue // for an application this is an error
			}
			got := opened[name](t, e)
			if got.code != first.code || got.status != first.status || !slices.Equal(got.injected, first.injected) ||
				!slices.Equal(got.headers["Access-Control-Allow-Origin"], first.headers["Access-Control-Allow-Origin"]) {
				t.Fatalf("%s %s%s, project %q, %q:\n%s says %d %s %q %q,\n%s says %d %s %q %q", e.method, e.host, e.target,
					e.project, e.lines,
					names[0], first.status, first.code, first.injected, first.headers["Access-Control-Allow-Origin"],
					name, got.status, got.code, got.injected, got.headers["Access-Control-Allow-Origin"])
			}
			for _, line := range got.upstream {
				if strings.Contains(line, "evil") && strings.Contains(strings.ToLower(line), "keyward") ||
					got.status == http.StatusOK && strings.Contains(line, keys["good"].Reveal()) &&
						!strings.HasPrefix(line, "X-Other") && !strings.HasPrefix(line, "Authorization: ") {
					t.Fatalf("%s forwards %q of %q", name, line, e.lines)
				}
			}
		}
	})
}
