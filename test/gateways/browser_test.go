package gateways

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// fetched is what a script of the page can read.
type fetched struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
	ID     string `json:"id"`
	Error  string `json:"error"`
}

// TestBrowser opens pages in Chromium. They fetch content through the reverse proxy, and the test compares what their
// user sees.
func TestBrowser(t *testing.T) {
	program := installed(t, "chromium")
	pages := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(rw, "<!doctype html><title>a page</title><link rel=icon href=data:,>")
	}))
	allowed, foreign := "http://www.acme.example:"+portOf(pages), "http://www.evil.example:"+portOf(pages)
	w := newWorld(t, allowed)
	content := "http://cdn.acme.example:" + portOf(startProxy(t, w)) + "/media/text"
	wrong := w.key[:len(w.key)-1] + string(w.key[len(w.key)-1]^1) // a digit of the checksum
	browser := openBrowser(t, program)

	for _, c := range []struct {
		name, page, method, key string

		status int
		code   string // of the problem, which the page can read
		reason string // in the console, if the browser lets the page read nothing
	}{
		{name: "allowed", page: allowed, method: "GET", key: w.key, status: 200},
		{name: "a wrong key", page: allowed, method: "GET", key: wrong, status: 401, code: "key_malformed"},
		{name: "no key", page: allowed, method: "GET", status: 401, code: "key_missing"},
		{name: "no permission", page: allowed, method: "POST", key: w.key, status: 403, code: "permission_denied"},
		{name: "no quota", page: allowed, method: "GET", key: w.spent, status: 402, code: "quota_exceeded"},
		{name: "a method that nobody may", page: allowed, method: "DELETE", key: w.key,
			reason: "Method DELETE is not allowed by Access-Control-Allow-Methods"},
		{name: "a foreign page", page: foreign, method: "GET", key: w.key,
			reason: "from origin '" + foreign + "' has been blocked by CORS policy: Response to preflight request doesn't pass"},
		{name: "a foreign page without a key", page: foreign, method: "GET",
			reason: "from origin '" + foreign + "' has been blocked by CORS policy: No 'Access-Control-Allow-Origin' header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, console := browser.fetch(t, c.page, c.method, content, c.key, c.reason)
			if c.reason != "" {
				if got.Error != "TypeError: Failed to fetch" || got.Status != 0 || !strings.Contains(console, c.reason) {
					t.Errorf("the page gets %+v, and the console says:\n%s", got, console)
				}
				return
			}
			var problem struct{ Code string }
			_ = json.Unmarshal([]byte(got.Body), &problem) // content has none
			if got.Error != "" || got.Status != c.status || problem.Code != c.code || got.ID == "" || c.code == "" &&
				got.Body != "a scene" {
				t.Errorf("the page gets %+v, and the console says:\n%s", got, console)
			}
			if strings.Contains(console, "CORS") {
				t.Errorf("the console says:\n%s", console)
			}
		})
	}
}

// chrome is a browser for which every host is this machine.
type chrome struct{ ctx context.Context }

func openBrowser(t *testing.T, program string) *chrome {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update",
			true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true))
	ctx, stop := context.WithTimeout(context.Background(), patience)
	t.Cleanup(stop)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end)
	ctx, closeBrowser := chromedp.NewContext(ctx)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return &chrome{ctx}
}

// fetch opens a page in a new tab, and returns what its script reads and what is in the console, at least until the reason
// is there.
func (b *chrome) fetch(t *testing.T, page, method, url, key, reason string) (fetched, string) {
	t.Helper()
	tab, closeTab := chromedp.NewContext(b.ctx)
	defer closeTab()
	messages := chromedp.Console(tab)
	if err := chromedp.Do(tab, chromedp.Navigate(page)); err != nil {
		t.Fatal(err)
	}
	const done = "that is all"
	got, err := chromedp.Run(tab, chromedp.Evaluate[fetched](fmt.Sprintf(`(async () => {
		const headers = %[3]q ? {Authorization: "Bearer " + %[3]q} : {};
		try {
			const r = await fetch(%[2]q, {method: %[1]q, headers, cache: "no-store"});
			return {status: r.status, body: await r.text(), id: r.headers.get("X-Request-Id") || ""};
		} catch (e) {
			return {error: String(e)};
		} finally {
			console.log(%[4]q);
		}
	})()`, method, url, key, done), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	console, ended := "", false
	for message, err := range messages {
		if err != nil {
			t.Fatalf("%v, and the console says:\n%s", err, console)
		}
		ended = ended || message.Text == done
		console += message.Text + "\n"
		if ended && strings.Contains(console, reason) {
			break
		}
	}
	return got, console
}
