package leaks

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

func TestURLsAreCleaned(t *testing.T) {
	const token = "acme_0123456789abcdefghij"
	of := secret{text: token, digest: keyformat.DigestOf(token)}
	for given, want := range map[string]string{
		"https://github.com/octocat/site/blob/main/.env":          "https://github.com/octocat/site/blob/main/.env",
		"https://user:password@git.example/a?token=secret#L10":    "https://git.example/a",
		"https://git.example/?key=" + token:                       "https://git.example/",
		"https://git.example/embed/" + token + "/x":               "https://git.example",
		"https://git.example/embed/acme%5F0123456789abcdefghij/x": "https://git.example",
		"https://" + token + ".example/":                          "",
		"javascript:alert(1)":                                     "",
		"file:///etc/passwd":                                      "",
		"not a URL\x1b[2J":                                        "",
		"":                                                        "",
		"https://git.example/" + strings.Repeat("a", 600):         ("https://git.example/" + strings.Repeat("a", 600))[:maxURL],
		"https://git.example/" + strings.Repeat("a", 8*maxURL):    "",
		"https://git.example/a b\n":                               "",
		"https://git.example/\u202egnp.exe":                       "https://git.example/%E2%80%AEgnp.exe",
	} {
		if got := of.cleanURL(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
	if got := of.cleanWord("Git hub\n<b>_1.2-3é", 10); got != "Githubb_1." {
		t.Errorf("got %q", got)
	}
}

// TestReportsHideTheText: whichever way a text is named, no other member of the report may have it.
func TestReportsHideTheText(t *testing.T) {
	minted, err := keyformat.Mint("acme", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{minted.Reveal(), "legacy-0123456789.abcdef"} {
		digest := keyformat.DigestOf(text)
		for _, named := range []string{
			fmt.Sprintf(`"token":%q`, text), fmt.Sprintf(`"token":%q`, " "+text+"\r\n"), fmt.Sprintf(`"sha256":%q`, digest.String()[len("sha256:"):]),
		} {
			body := fmt.Sprintf(`[{%s,"url":"https://git.example/search/%s/x","source":%q,"type":%q}]`, named, text, text, text[:5]+" "+text[5:])
			all, err := parseReports([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if want := (found{digest: digest, url: "https://git.example"}); all[0] != want {
				t.Errorf("of a report with %s is left %+v", named, all[0])
			}
		}
	}
	// A key that is not the reported one is nobody's business, either.
	all, err := parseReports([]byte(fmt.Sprintf(`[{"token":"another","url":"https://git.example/a?b/%s","source":"ci"},
		{"token":"another","url":"https://git.example/x-%s.txt","source":"%s"}]`, minted.Reveal(), minted.Reveal(), minted.Reveal())))
	if err != nil || all[0].url != "https://git.example/a" || all[1].url != "https://git.example" || all[1].source != "" || all[0].source != "ci" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestReportsAreParsed(t *testing.T) {
	all, err := parseReports([]byte(`[{"token":"a text","type":"kw_key","url":"https://a.example/b","source":"content","later":1},
		{"sha256":"` + keyformat.DigestOf("another").String() + `"}]`))
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	if all[0] != (found{keyformat.DigestOf("a text"), "kw_key", "https://a.example/b", "content"}) || all[1].digest != keyformat.DigestOf("another") {
		t.Errorf("%+v", all)
	}
	for _, body := range []string{``, `null`, `{}`, `[1]`, `[{}]`, `[{"sha256":"short"}]`, `[{"token":{"secret":"text"}}]`,
		"[" + strings.Repeat(`{"token":"x"},`, maxReports) + `{"token":"x"}]`} {
		if all, err := parseReports([]byte(body)); err == nil || strings.Contains(err.Error(), "text") && strings.Contains(body, "secret") {
			t.Errorf("%.40s is read as %v, %v", body, all, err)
		}
	}
}

// FuzzParseReports: what is read is bounded and clean, and is what another reader of the same JSON reads.
func FuzzParseReports(f *testing.F) {
	f.Add(`[{"token":"acme_0123456789","type":"t","url":"https://git.example/acme_0123456789?x#y","source":"s"}]`)
	f.Add(`[{"sha256":"jZae727K08KaOmKSgOaGzww/XVqGr/PKEgIMkjrcbJI=","url":"http://[::1]:80/%zz"}]`)
	f.Add(`[{"token":"a","Token":"b"},{"token":"a","token":"\ud800"},{"token":null,"sha256":null}]`)
	f.Fuzz(func(t *testing.T, body string) {
		all, err := parseReports([]byte(body))
		if err != nil {
			if len(err.Error()) > 200 {
				t.Fatal(err)
			}
			return
		}
		compareReports(t, body, all)
		for _, r := range all {
			if len(r.url) > maxURL || len(r.source) > maxSource || len(r.kind) > 128 {
				t.Fatalf("%+v", r)
			}
			if strings.ContainsAny(r.url+r.source+r.kind, " \n\r\t\x1b<>\"") || strings.ContainsAny(r.url, "?#@") && !strings.Contains(r.url, "/") {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// compareReports reads the objects as maps. Of a member that occurs in another spelling, too, both readings are right.
func compareReports(t *testing.T, body string, all []found) {
	t.Helper()
	var objects []map[string]any
	if err := json.Unmarshal([]byte(body), &objects); err != nil || len(objects) != len(all) {
		t.Fatalf("%q: %d reports, and %d objects, %v", body, len(all), len(objects), err)
	}
	for i, object := range objects {
		odd := false
		for name, value := range object {
			_, isText := value.(string)
			for _, member := range []string{"token", "sha256"} {
				odd = odd || strings.EqualFold(name, member) && (name != member || !isText)
			}
		}
		if odd {
			continue
		}
		token, _ := object["token"].(string)
		token = strings.TrimSpace(token)
		want := keyformat.DigestOf(token)
		if token == "" {
			text, _ := object["sha256"].(string)
			var err error
			if want, err = keyformat.ReadSHA256(text); err != nil {
				t.Fatalf("%q: report %d has a digest without a text: %v", body, i, err)
			}
		}
		if all[i].digest != want {
			t.Fatalf("%q: report %d is of another text", body, i)
		}
	}
}
