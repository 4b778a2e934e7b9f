package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/role"
)

// TestConsole does in Chromium what people do, on the running product: with script, without it, and with the keyboard alone. Then it looks for the
// texts of the keys everywhere.
func TestConsole(t *testing.T) {
	if os.Getenv("KEYWARD_CONSOLE") == "" {
		t.Skip("browsers take the processors from other tests: make e2e-console")
	}
	requireKubernetes(t)
	p := newProduct(t)
	token := p.person("ada", role.Admin, true)
	for _, way := range []struct {
		name string
		is   func(*hand)
	}{
		{"mouse", func(*hand) {}}, {"no-script", (*hand).withoutScript}, {"keyboard", func(h *hand) { h.keyboard = true }},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			b := openChrome(t)
			c := p.startConsole(t)
			h := b.tab(t)
			way.is(h)
			texts := p.useOfAKey(t, c, h, token, way.name)
			b.close()
			notStored(t, b.profile, "/keys/"+p.namespace+"/"+way.name, texts...)
		})
	}
	p.refusals(t, token)
}

// versions is how many the page of a key shows.
const versions = `document.querySelectorAll("section[aria-labelledby=versions] tbody tr").length`

// useOfAKey has a key created, claimed, used, rotated and revoked, and searches for its texts.
func (p *product) useOfAKey(t *testing.T, c *console, h *hand, token, name string) []string {
	key := place.Key{Group: place.Group{Namespace: p.namespace, Name: "acme"}, Namespace: p.namespace, Name: name}
	h.signIn(c.origin, token)
	h.press(link(p.namespace + "/acme"))
	h.says("Keys of acme")
	h.press(link("Create key"))
	h.fill("name", name)
	h.fill("description", "The web shop.")
	h.choose("projects", "marketing")
	h.choose("reveal", "Once")
	h.press(button("Create key"))

	h.awaits(link("Claim"))
	first := h.claims(name)
	p.answersTo(t, first, http.StatusOK)
	h.awaits(`[...document.querySelectorAll("dt")].find(e => e.textContent === "Last used" && e.nextElementSibling.textContent !== "never")`)

	h.press(link("Rotate"))
	h.choose("overlap", "24h")
	h.press(button("Rotate " + name))
	h.awaits(versions + " === 2 && " + link("Claim"))
	second := h.claims(name)
	if first == second {
		t.Error("the rotated key has the same text")
	}
	h.awaits(versions + " === 2 && !" + link("Claim"))
	for _, text := range []string{first, second} {
		p.answersTo(t, text, http.StatusOK)
	}

	h.press(link("Revoke"))
	h.fill("name", name+"-x")
	h.press(button("Revoke " + name))
	h.says("This is not its name.")
	h.fill("name", name)
	h.press(button("Revoke " + name))
	h.awaits(`document.querySelector("h1").textContent.includes("Revoked")`)
	for _, text := range []string{first, second} {
		p.answersTo(t, text, http.StatusUnauthorized)
	}
	for _, page := range []string{key.Of(), key.Of("claim"), key.Of("revoke"), key.Group.Of(), key.Group.Of("usage"), key.Group.Of("log"), place.Groups} {
		h.open(c.origin + page)
	}
	p.nowhere(t, c, h, first, second)
	return []string{first, second}
}

// claims shows the text of a key, copies it, and says that it is stored.
func (h *hand) claims(name string) string {
	h.t.Helper()
	h.press(link("Claim"))
	h.press(button("Show the text of " + name))
	text := read[string](h, `document.getElementById("plaintext").textContent`)
	if h.has(button("Copy")) == h.noScript {
		h.t.Errorf("the button that needs a script: %s", h.page())
	}
	if !h.noScript {
		h.use(button("Copy"))
		eventually(h.t, "the page to say that it was copied", patience, func() error {
			if says := read[string](h, `document.querySelector(".copy output").textContent`); says != "Copied" {
				return fmt.Errorf("it says %q", says)
			}
			return nil
		})
	}
	h.press(link("I have stored it"))
	return text
}

// nowhere searches for the texts of keys: in pages, cookies and the history, in logs and metrics, and in what the browser has stored.
func (p *product) nowhere(t *testing.T, c *console, h *hand, texts ...string) {
	t.Helper()
	searched := map[string][]byte{}
	for i, page := range h.seen {
		searched[fmt.Sprintf("page %d", i)] = []byte(page)
	}
	cookies, err := chromedp.CallBrowser(h.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range cookies.Cookies {
		searched["cookie "+cookie.Name] = []byte(cookie.Value)
	}
	if len(cookies.Cookies) < 3 {
		t.Errorf("cookies: %+v", cookies.Cookies)
	}
	history, err := chromedp.Run(h.ctx, chromedp.NavigationEntries())
	if err != nil {
		t.Fatal(err)
	}
	for i, entry := range history.Entries {
		searched[fmt.Sprintf("history %d", i)] = []byte(entry.URL + " " + entry.Title)
	}
	for name, address := range map[string]string{"console": c.metrics, "manager": p.manager.metrics, "validator": p.proxy.listens.Admin.String()} {
		status, body, err := get("http://" + address + "/metrics")
		if err != nil || status != http.StatusOK {
			t.Errorf("metrics of %s: %d, %v", name, status, err)
		}
		searched["metrics of "+name] = []byte(body)
	}
	for _, log := range []string{c.log, p.manager.log, p.proxy.log} {
		text, err := os.ReadFile(log)
		if err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", log, len(text), err)
		}
		searched[log] = text
	}
	for _, text := range texts {
		var in []string
		for name, content := range searched {
			if bytes.Contains(content, []byte(text)) {
				in = append(in, name)
			}
		}
		if len(in) != 1 || !strings.HasPrefix(in[0], "page ") {
			t.Errorf("%s… is in %v, not in one page alone", text[:8], in)
		}
	}
}

// notStored searches the profile of a browser that has ended.
func notStored(t *testing.T, profile, known string, texts ...string) {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(profile, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range append(texts, known) {
			if bytes.Contains(content, []byte(text)) || bytes.Contains(content, wide(text)) {
				found[text] = true
				if text != known {
					t.Errorf("%s… is in %s", text[:8], path)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found[known] {
		t.Errorf("the profile does not have %q, so the search finds nothing", known)
	}
}

// wide is a text in two bytes each, as browsers store some.
func wide(text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return b
}
