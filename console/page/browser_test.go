package page

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// measures reads what a script has counted from before the first layout, two frames after the page was loaded.
const measures = `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done({shift: window.shift,
	refused: window.refused, wide: document.documentElement.scrollWidth, room: document.documentElement.clientWidth}))))`

type measured struct {
	Shift   float64  `json:"shift"`
	Refused []string `json:"refused"` // by the policy
	Wide    int      `json:"wide"`
	Room    int      `json:"room"`
}

// TestBrowser looks at each page in Chromium: light and dark, narrow (which 200 % of zoom on 640 px is as well), and without JavaScript.
// With KEYWARD_AXE, the path of axe.min.js, axe-core examines each. With KEYWARD_PICTURES, a directory, pictures are written there.
func TestBrowser(t *testing.T) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: hack/install-gateways.sh installs it")
	}
	texts := map[string]string{}
	for _, e := range examples() {
		texts["/"+e.name] = e.render(t)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, Prefix) {
			Assets().ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", Policy)
		_, _ = io.WriteString(w, texts[r.URL.Path])
	}))
	defer server.Close()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	ctx, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))...)
	defer end()
	ctx, closeBrowser := chromedp.NewContext(ctx)
	defer closeBrowser()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	before := `window.shift = 0; window.refused = [];
		new PerformanceObserver(l => { for (const e of l.getEntries()) window.shift += e.value }).observe({type: "layout-shift", buffered: true});
		addEventListener("securitypolicyviolation", e => window.refused.push(e.violatedDirective))`
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: before}); err != nil {
		t.Fatal(err)
	}
	for _, e := range examples() {
		for _, look := range []struct {
			name, scheme string
			width        int64
		}{{"light", "light", 1280}, {"dark", "dark", 1280}, {"narrow", "light", 320}, {"narrow-dark", "dark", 320}} {
			t.Run(e.name+"/"+look.name, func(t *testing.T) {
				if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}}}); err != nil {
					t.Fatal(err)
				}
				if err := chromedp.Do(ctx, chromedp.EmulateViewport(look.width, 800), chromedp.Navigate(server.URL+"/"+e.name)); err != nil {
					t.Fatal(err)
				}
				got, err := chromedp.Run(ctx, chromedp.Evaluate[measured](measures, chromedp.EvalAwaitPromise))
				if err != nil {
					t.Fatal(err)
				}
				if got.Shift != 0 || len(got.Refused) != 0 || got.Wide > got.Room {
					t.Errorf("%+v", got)
				}
				if into := os.Getenv("KEYWARD_PICTURES"); into != "" {
					picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(into, e.name+"-"+look.name+".png"), picture, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				examine(ctx, t)
			})
		}
	}
	t.Run("keyboard", func(t *testing.T) { keyboard(ctx, t, server.URL) })
	t.Run("without JavaScript", func(t *testing.T) {
		set := func(disabled bool) {
			if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: disabled}); err != nil {
				t.Fatal(err)
			}
		}
		set(true)
		defer set(false)
		if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/claimed")); err != nil {
			t.Fatal(err)
		}
		shown, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`[document.getElementById("plaintext").textContent,
			getComputedStyle(document.querySelector(".copy button")).visibility, document.querySelector("a.primary").textContent]`))
		if want := []string{plaintext, "hidden", "I have stored it"}; err != nil || !slices.Equal(shown, want) {
			t.Errorf("%q, %v", shown, err)
		}
	})
}

// keyboard walks through the page of a revocation with Tab alone.
func keyboard(ctx context.Context, t *testing.T, address string) {
	if err := chromedp.Do(ctx, chromedp.Navigate(address+"/revoke")); err != nil {
		t.Fatal(err)
	}
	var walked []string
	for range 8 {
		if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
			t.Fatal(err)
		}
		at, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.activeElement.id || document.activeElement.textContent.trim()`))
		if err != nil {
			t.Fatal(err)
		}
		walked = append(walked, at)
	}
	if got, want := strings.Join(walked, ", "), "Skip to content, Keyward, Sign out, Groups, acme, revoke-name, Revoke checkout, Keep it"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func examine(ctx context.Context, t *testing.T) {
	t.Helper()
	path := os.Getenv("KEYWARD_AXE")
	if path == "" {
		return
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](string(axe)+`;axe.run().then(r => r.violations.map(v =>
		v.id + ": " + v.nodes.map(n => n.html + ": " + n.failureSummary).join("; ")))`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Errorf("%s", v)
	}
}
