package origin

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for header, want := range map[string]string{
		"https://acme.com":                   "https://acme.com",
		"http://acme.com":                    "http://acme.com",
		"https://acme.com:443":               "https://acme.com",
		"http://acme.com:443":                "http://acme.com:443",
		"https://acme.com:8443":              "https://acme.com:8443",
		"HTTPS://ACME.com":                   "https://acme.com",
		"https://acme.com.":                  "https://acme.com",
		"https://münchen.example":            "https://xn--mnchen-3ya.example",
		"https://xn--mnchen-3ya.example":     "https://xn--mnchen-3ya.example",
		"http://localhost:3000":              "http://localhost:3000",
		"http://[::1]:3000":                  "http://[::1]:3000",
		"http://[0:0:0:0:0:0:0:1]":           "http://[::1]",
		"http://[::ffff:192.0.2.1]":          "http://[::ffff:c000:201]",
		"http://127.0.0.1:80":                "http://127.0.0.1",
		"https://my_host.acme.com":           "https://my_host.acme.com",
		"https://a.b.c.d.e.acme.com":         "https://a.b.c.d.e.acme.com",
		"https://" + strings.Repeat("a", 63): "https://" + strings.Repeat("a", 63),

		"":                                  "",
		"acme.com":                          "",
		"//acme.com":                        "",
		"https:acme.com":                    "",
		"https://":                          "",
		"https://.":                         "",
		"https://acme.com/":                 "",
		"https://acme.com/path":             "",
		"https://acme.com?x":                "",
		"https://acme.com#x":                "",
		"https://user@acme.com":             "",
		"https://user:pw@acme.com":          "",
		"https://acme.com\\@evil.com":       "",
		"https://acme.com:":                 "",
		"https://acme.com:0":                "",
		"https://acme.com:65536":            "",
		"https://acme.com:+80":              "",
		"https://acme.com:080":              "",
		"https://acme..com":                 "",
		"https://.acme.com":                 "",
		"https://acme.com..":                "",
		"https://acme.com https://evil.com": "",
		"https://acme.com, https://e.com":   "",
		" https://acme.com":                 "",
		"https://acme.com\x00":              "",
		"https://acme%2ecom":                "",
		"ftp://acme.com":                    "",
		"file://":                           "",
		"file://localhost":                  "",
		"data://x":                          "",
		"wss://acme.com":                    "",

		"capacitor://localhost":                 "capacitor://localhost",
		"Capacitor://LocalHost":                 "capacitor://localhost",
		"ionic://localhost":                     "ionic://localhost",
		"tauri://localhost":                     "tauri://localhost",
		"tauri://localhost:1430":                "tauri://localhost:1430",
		"app://-":                               "app://-",
		"chrome-extension://" + chromeExtension: "chrome-extension://" + chromeExtension,
		"moz-extension://0a5e3b2c-90d1-4f6a-8a43-123456789012":        "moz-extension://0a5e3b2c-90d1-4f6a-8a43-123456789012",
		"safari-web-extension://0A5E3B2C-90D1-4F6A-8A43-123456789012": "safari-web-extension://0a5e3b2c-90d1-4f6a-8a43-123456789012",
		"vscode-webview://12345":                                      "vscode-webview://12345",
		"capacitor://":                                                "",
		"capacitor://localhost/":                                      "",
		"capacitor://localhost.":                                      "",
		"capacitor://localhost:0":                                     "",
		"capacitor://löcalhost":                                       "",
		"capacitor://\u212aocalhost":                                  "",
		"\u212aapacitor://localhost":                                  "",
		"capacitor://[::1]":                                           "",
		"capacitor://a b":                                             "",
		"1app://localhost":                                            "",
		"a pp://localhost":                                            "",
		"://localhost":                                                "",
		strings.Repeat("a", 33) + "://localhost":                      "",
		"https://0x7f.1":                                              "",
		"https://127.1":                                               "",
		"https://1.2.3.4.5":                                           "",
		"https://127.0.0.01":                                          "",
		"https://[::1":                                                "",
		"https://[::1%25eth0]":                                        "",
		"https://[127.0.0.1]":                                         "",
		"https://::1":                                                 "",
		"Null":                                                        "",
		"https://" + strings.Repeat("a", 64):                          "",
	} {
		got, err := Parse(header)
		if want == "" {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%q: got %v, %v, want ErrMalformed", header, got, err)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", header, got, err, want)
		}
	}
	if _, err := Parse("null"); !errors.Is(err, ErrOpaque) {
		t.Errorf("null: %v", err)
	}
}

func TestParseReferer(t *testing.T) {
	for header, want := range map[string]string{
		"https://acme.com":                  "https://acme.com",
		"https://acme.com/":                 "https://acme.com",
		"https://acme.com/a?b=https://x#c":  "https://acme.com",
		"https://acme.com?x":                "https://acme.com",
		"https://acme.com#x":                "https://acme.com",
		"https://acme.com:8443/a/b":         "https://acme.com:8443",
		"http://[::1]:3000/x":               "http://[::1]:3000",
		"https://evil.com/https://acme.com": "https://evil.com",
		"https://acme.com@evil.com/":        "",
		"https://acme.com\\.evil.com/":      "",
		"/relative":                         "",
		"":                                  "",
		"android-app://com.acme":            "",
		"capacitor://localhost/":            "",
		"chrome-extension://abcdef/":        "",
	} {
		got, err := ParseReferer(header)
		if want == "" {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%q: got %v, %v, want ErrMalformed", header, got, err)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", header, got, err, want)
		}
	}
	if _, err := ParseReferer("about:blank"); !errors.Is(err, ErrOpaque) {
		t.Errorf("about:blank: %v", err)
	}
}

func TestIsLocalhost(t *testing.T) {
	for header, want := range map[string]bool{
		"http://localhost":           true,
		"https://localhost:8443":     true,
		"http://app.localhost:3000":  true,
		"http://127.0.0.1:5173":      true,
		"http://127.255.0.9":         true,
		"http://[::1]:80":            true,
		"http://128.0.0.1":           false,
		"http://127.evil.com":        false,
		"http://127.0.0.1.evil.com":  false,
		"http://evillocalhost":       false,
		"http://localhost.evil.com":  false,
		"http://[::2]":               false,
		"http://[::ffff:127.0.0.1]":  false,
		"https://www.acme.com":       false,
		"http://localhost.localhost": true,
		"capacitor://localhost":      false,
		"tauri://localhost":          false,
		"app://127.0.0.1":            false,
	} {
		o, err := Parse(header)
		if err != nil || o.IsLocalhost() != want {
			t.Errorf("%s: %v, %v", header, o.IsLocalhost(), err)
		}
	}
}

func TestPatternMatches(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		allowed  []string
		foreign  []string
		printsAs string
	}{
		{"acme.com",
			[]string{"https://acme.com", "http://acme.com", "https://ACME.com:443", "https://acme.com."},
			[]string{"https://acme.com:8443", "https://www.acme.com", "https://evilacme.com",
				"https://acme.com.evil.com", "http://acme.com:443"},
			"acme.com"},
		{"*.acme.com",
			[]string{"https://www.acme.com", "http://a.b.c.acme.com"},
			[]string{"https://acme.com", "https://evilacme.com", "https://www.acme.com:8443",
				"https://www.acme.com.evil.com", "https://www.acme.co"},
			"*.acme.com"},
		{"https://shop.acme.com:8443",
			[]string{"https://shop.acme.com:8443"},
			[]string{"http://shop.acme.com:8443", "https://shop.acme.com", "https://x.shop.acme.com:8443"},
			"https://shop.acme.com:8443"},
		{"http://acme.com", []string{"http://acme.com"}, []string{"https://acme.com", "http://acme.com:8080"}, "http://acme.com"},
		{"https://acme.com:443", []string{"https://acme.com"}, []string{"http://acme.com"}, "https://acme.com"},
		{"acme.com:443", []string{"https://acme.com", "http://acme.com:443"}, []string{"http://acme.com"}, "acme.com:443"},
		{"https://*.acme.com:8443", []string{"https://a.b.acme.com:8443"},
			[]string{"https://acme.com:8443", "https://a.acme.com"}, "https://*.acme.com:8443"},
		{"ACME.Com.", []string{"https://acme.com"}, nil, "acme.com"},
		{"*.MÜNCHEN.example", []string{"https://www.münchen.example", "https://www.xn--mnchen-3ya.example"},
			[]string{"https://münchen.example"}, "*.xn--mnchen-3ya.example"},
		{"münchen。example", []string{"https://münchen.example"}, nil, "xn--mnchen-3ya.example"},
		{"intranet", []string{"http://intranet"}, []string{"http://www.intranet"}, "intranet"},
		{"192.0.2.7", []string{"http://192.0.2.7"}, []string{"http://192.0.2.70"}, "192.0.2.7"},
		{"[2001:DB8::1]:8080", []string{"http://[2001:db8:0:0::1]:8080"}, []string{"http://[2001:db8::1]"}, "[2001:db8::1]:8080"},
		{"*.localhost", []string{"http://a.localhost"}, []string{"http://localhost"}, "*.localhost"},
		{"https://app-*.example.dev", []string{"https://app-42.example.dev", "https://APP-x.example.dev", "https://app--.example.dev"},
			[]string{"https://app-.example.dev", "https://app-a.b.example.dev", "https://a.app-b.example.dev", "http://app-42.example.dev",
				"https://app-42.example.dev:8443", "https://example.dev", "https://app-42.evilexample.dev",
				"https://app-42.example.dev.evil.dev", "https://xapp-42.example.dev"}, "https://app-*.example.dev"},
		{"*-web.Example.dev.", []string{"http://pr-7-web.example.dev"}, []string{"http://-web.example.dev", "http://a.b-web.example.dev",
			"http://b-web-.example.dev"}, "*-web.example.dev"},
		{"APP-*-web.example.dev:8443", []string{"http://app-7-web.example.dev:8443"},
			[]string{"http://app-web.example.dev:8443", "http://app--web.example.dev:8443", "http://app-7-web.example.dev"},
			"app-*-web.example.dev:8443"},
		{"x*.münchen.example", []string{"http://xy.münchen.example"}, []string{"http://x.münchen.example"}, "x*.xn--mnchen-3ya.example"},
		{"v*.localhost", []string{"http://v1.localhost"}, []string{"http://localhost"}, "v*.localhost"},
		{"localhost", []string{"http://localhost"}, []string{"capacitor://localhost", "tauri://localhost"}, "localhost"},
		{"Capacitor://LOCALHOST", []string{"capacitor://localhost"},
			[]string{"ionic://localhost", "capacitor://localhost:1", "https://localhost", "capacitor://x.localhost"}, "capacitor://localhost"},
		{"tauri://localhost:1430", []string{"tauri://localhost:1430"}, []string{"tauri://localhost"}, "tauri://localhost:1430"},
		{"chrome-extension://" + chromeExtension, []string{"chrome-extension://" + chromeExtension},
			[]string{"chrome-extension://a" + chromeExtension[1:]}, "chrome-extension://" + chromeExtension},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		if p.String() != c.printsAs {
			t.Errorf("%s prints as %s, want %s", c.pattern, p, c.printsAs)
		}
		for _, header := range append(c.allowed, c.foreign...) {
			o, err := Parse(header)
			if err != nil {
				t.Fatalf("%s: %v", header, err)
			}
			if want := contains(c.allowed, header); p.Matches(o) != want {
				t.Errorf("%s allows %s: %v", c.pattern, header, !want)
			}
		}
	}
	if (Pattern{}).Matches(Origin{Scheme: "http", Port: 80}) {
		t.Error("the zero pattern allows")
	}
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}

func TestParsePatternErrorsHaveHints(t *testing.T) {
	for pattern, hint := range map[string]string{
		"":                                      "write a domain such as acme.com",
		"*":                                     "list the domains to allow",
		"https://*":                             "list the domains to allow",
		"*:443":                                 "list the domains to allow",
		"*.*.acme.com":                          "list the domains",
		"www.*.com":                             "list the domains",
		"*acme.com":                             "*.acme.com",
		"a*.com":                                "*.acme.com",
		"a*b*.acme.com":                         "*.acme.com",
		"*.a*.acme.com":                         "*.acme.com",
		"a*.*.acme.com":                         "*.acme.com",
		"a*.192.0.2.1":                          "no subdomains",
		"a*":                                    "list the domains",
		"a*.":                                   "the host is empty",
		"é*.acme.com":                           "international",
		"xn--*.acme.com":                        "international",
		"Xn--80a*.acme.com":                     "international",
		"a!*.acme.com":                          "letters, digits",
		strings.Repeat("a", 63) + "*.acme.com":  "1 to 63 characters",
		"a*." + strings.Repeat("a.", 125) + "a": "253",
		"file:///x":                             "null",
		"data://x":                              "null",
		"wss://acme.com":                        "the origin of the page",
		"chrome-extension://*":                  "exactly",
		"capacitor://*.localhost":               "exactly",
		"capacitor://a*.acme.com":               "exactly",
		"capacitor://":                          "write a domain",
		"capacitor://löcalhost":                 "letters, digits",
		"*.com":                                 "*.acme.com",
		"*.com.":                                "*.acme.com",
		"*.":                                    "the host is empty",
		"https://acme.com/":                     "leave out the '/' and everything after it",
		"acme.com/path":                         "leave out the '/' and everything after it",
		"ftp://acme.com":                        "must be http or https",
		"://acme.com":                           "must be http or https",
		"acme.com, evil.com":                    "write one domain in each entry",
		"user@acme.com":                         "before '@'",
		"acme.com:99999":                        "1 to 65535",
		"2001:db8::1":                           "brackets",
		"*.192.0.2.1":                           "no subdomains",
		"1.2.3":                                 "IPv4",
		"acme..com":                             "1 to 63 characters",
		"ac me.com":                             "without spaces",
		"acme!.com":                             "letters, digits",
		"xn--a.com":                             "IDNA",
		"null":                                  "", // a host like any other: the Origin "null" is not compared with patterns
		strings.Repeat("a.", 128):               "253",
	} {
		_, err := ParsePattern(pattern)
		if hint == "" {
			if err != nil {
				t.Errorf("%q: %v", pattern, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: got %v, want it to mention %q", pattern, err, hint)
		}
	}
}

const chromeExtension = "abcdefghijklmnopabcdefghijklmnop"

// naive is what a pattern allows, as a regular expression on the serialization: what is documented, word for word.
func naive(pattern string) *regexp.Regexp {
	scheme, rest, has := strings.Cut(pattern, "://")
	if !has {
		scheme, rest = "https?", pattern
	}
	host, port, _ := strings.Cut(rest, ":")
	if port != "" {
		port = ":" + port
	}
	host, below := strings.CutPrefix(host, "*.")
	host = strings.ReplaceAll(regexp.QuoteMeta(host), `\*`, `[^.]+`)
	if below {
		host = `([^.]+\.)+` + host
	}
	return regexp.MustCompile("^" + scheme + "://" + host + port + "$")
}

// TestPatternsMatchAsDocumented compares patterns with regular expressions.
func TestPatternsMatchAsDocumented(t *testing.T) {
	const label = `(a|b|ab|aab|a-b|evil)`
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`((https?|app)://)?(\*\.|(a|a-)?\*(b|-b)?\.)?(`+label+`\.){0,2}com(:81)?`).Draw(t, "pattern")
		p, err := ParsePattern(text)
		if err != nil {
			return
		}
		from := rapid.StringMatching(`(https?|app)://(`+label+`\.){0,4}com(:81)?`).Draw(t, "origin")
		o, err := Parse(from)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		if want := naive(text).MatchString(from); p.Matches(o) != want {
			t.Fatalf("%s allows %s: %v", text, from, !want)
		}
		if p.Matches(o) && p.Near(o) != "" {
			t.Fatalf("%s nearly allows %s, which it allows", text, from)
		}
	})
}

func TestNear(t *testing.T) {
	for _, c := range []struct{ pattern, origin, says string }{
		{"acme.com", "https://acme.com", ""},
		{"acme.com", "https://evil.com", ""},
		{"acme.com", "https://evilacme.com", ""},
		{"acme.com", "https://acme.com:8443", "as in acme.com:8443"},
		{"acme.com:8443", "https://acme.com", "as in acme.com"},
		{"https://acme.com", "http://acme.com", "another scheme"},
		{"localhost", "capacitor://localhost", "another scheme"},
		{"acme.com", "https://www.acme.com", "*.acme.com"},
		{"www.acme.com", "https://acme.com", "not for acme.com"},
		{"*.acme.com", "https://acme.com", "list acme.com, too"},
		{"app-*.acme.com", "https://acme.com", "list acme.com, too"},
		{"app-*.acme.com", "https://app-1.x.acme.com", "without a dot"},
		{"app-*.acme.com", "https://web-1.acme.com", "is another"},
		{"app://acme.com", "app://www.acme.com", ""},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		o, err := Parse(c.origin)
		if err != nil {
			t.Fatal(err)
		}
		if says := p.Near(o); !strings.Contains(says, c.says) || (says == "") != (c.says == "") {
			t.Errorf("%s, %s: %q, want %q", c.pattern, c.origin, says, c.says)
		}
	}
}

func TestOnlySubdomainsMatchAWildcard(t *testing.T) {
	pattern, err := ParsePattern("*.acme.com")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`([a-z]{0,3}\.){0,3}(evil)?(acme|com|acme\.com)(\.com|\.evil)?`).Draw(t, "host")
		o, err := Parse("https://" + host)
		if err != nil {
			return
		}
		if want := strings.HasSuffix(host, ".acme.com"); pattern.Matches(o) != want {
			t.Fatalf("%s: %v", host, !want)
		}
	})
}

func TestParseDoesNotAllocate(t *testing.T) {
	pattern, _ := ParsePattern("*.acme.com")
	if n := testing.AllocsPerRun(100, func() {
		o, _ := Parse("https://www.acme.com")
		if !pattern.Matches(o) {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"https://acme.com", "http://[::1]:80", "null", "https://münchen.example:1", "https://127.0.0.1",
		"capacitor://localhost", "chrome-extension://" + chromeExtension, "tauri://localhost:1430"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		o, err := Parse(header)
		if err != nil {
			return
		}
		again, err := Parse(o.String())
		if err != nil || again != o {
			t.Fatalf("%q is %+v, which reads back as %+v, %v", header, o, again, err)
		}
		u, err := url.Parse(o.String())
		if err != nil || u.Path != "" || u.User != nil || !isASCII(u.Host) || u.Host != strings.ToLower(u.Host) {
			t.Fatalf("%q is %s, which net/url reads as %#v, %v", header, o, u, err)
		}
		if referer, err := ParseReferer(o.String() + "/x?y"); isWeb(o.Scheme) != (err == nil) || err == nil && referer != o {
			t.Fatalf("as a referer: %v, %v", referer, err)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"acme.com", "*.acme.com", "https://shop.acme.com:8443", "http://[::1]", "*.münchen.example",
		"https://app-*.acme.com", "*-web.acme.com:81", "capacitor://localhost"} {
		f.Add(seed, "https://www.acme.com")
		f.Add(seed, "capacitor://localhost")
	}
	f.Fuzz(func(t *testing.T, text, header string) {
		p, err := ParsePattern(text)
		if err != nil {
			return
		}
		again, err := ParsePattern(p.String())
		if err != nil || again != p {
			t.Fatalf("%q is %s, which reads back as %v, %v", text, p, again, err)
		}
		o, err := Parse(header)
		if err != nil || !p.Matches(o) {
			return
		}
		if !strings.HasSuffix(o.Host, p.host) || isWeb(o.Scheme) != p.IsWeb() {
			t.Fatalf("%s allows %s", p, o)
		}
		if isASCII(text) && !strings.ContainsAny(o.Host, "[]") && !naive(p.String()).MatchString(withoutDefaultPort(p, o)) {
			t.Fatalf("%s allows %s, and not as documented", p, o)
		}
	})
}

// withoutDefaultPort writes an origin as a pattern with a port has to be compared: with its port if the pattern has one.
func withoutDefaultPort(p Pattern, o Origin) string {
	text := o.String()
	if p.port != 0 && !strings.HasSuffix(text, ":"+strconv.Itoa(int(p.port))) {
		text += ":" + strconv.Itoa(int(p.port))
	}
	return text
}

func BenchmarkParseAndMatch(b *testing.B) {
	pattern, _ := ParsePattern("*.acme.com")
	b.ReportAllocs()
	for b.Loop() {
		if o, err := Parse("https://www.acme.com"); err != nil || !pattern.Matches(o) {
			b.Fatal("no match")
		}
	}
}
