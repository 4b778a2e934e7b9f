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
const measures = `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done({shift: window.shift, shifted: window.shifted,
	refused: window.refused, wide: document.documentElement.scrollWidth, room: document.documentElement.clientWidth,
	bar: document.querySelector("header").offsetHeight, covered: [...document.querySelectorAll("tbody th, a, button, input, select, textarea, summary")]
		.filter(e => e.checkVisibility({visibilityProperty: true}) && !e.classList.contains("skip")).filter(e => {
			e.scrollIntoView({block: "center"});
			const box = e.getClientRects()[0], top = document.elementFromPoint(box.left + Math.min(box.width, 24) / 2, box.top + box.height / 2);
			return !top || !(e.contains(top) || top.contains(e));
		}).map(e => e.outerHTML)}))))`

type measured struct {
	Shift   float64  `json:"shift"`
	Shifted []string `json:"shifted"` // what moved
	Refused []string `json:"refused"` // by the policy
	Wide    int      `json:"wide"`
	Room    int      `json:"room"`
	Bar     int      `json:"bar"`     // height of the header
	Covered []string `json:"covered"` // elements that something else lies upon
}

// TestBrowser looks at each page in Chromium: light and dark, narrow (which 200 % of zoom on 640 px is as well), and without JavaScript.
// axe-core examines each. With KEYWARD_PICTURES, a directory, pictures are written there.
func TestBrowser(t *testing.T) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium", err)
	}
	axe, err := os.ReadFile("../../bin/axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		missing(t, "axe-core", err)
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
		text := texts[r.URL.Path]
		if r.URL.RawQuery == "slow" {
			text = slowly(w, text)
		}
		_, _ = io.WriteString(w, text)
	}))
	defer server.Close()
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Minute)
	defer stop()
	ctx, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))...)
	defer end()
	ctx, closeBrowser := chromedp.NewContext(ctx)
	defer closeBrowser()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	before := `window.shift = 0; window.shifted = []; window.refused = [];
		new PerformanceObserver(l => { for (const e of l.getEntries()) {
			window.shift += e.value; for (const s of e.sources) window.shifted.push(s.node?.outerHTML?.slice(0, 200) ?? "") } }).observe({type: "layout-shift", buffered: true});
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
				if got.Shift > mostShift || len(got.Refused) != 0 || got.Wide > got.Room || got.Bar > 60 || len(got.Covered) != 0 {
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
				examine(ctx, t, string(axe))
			})
		}
	}
	t.Run("print", func(t *testing.T) { onPaper(ctx, t, server.URL) })
	for _, e := range examples() {
		t.Run(e.name+"/slow", func(t *testing.T) { still(ctx, t, server.URL+"/"+e.name+"?slow") })
		t.Run(e.name+"/reached", func(t *testing.T) { reached(ctx, t, server.URL+"/"+e.name) })
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

// missing skips, or fails if everything that hack/install-gateways.sh installs is required.
func missing(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("KEYWARD_READERS") == "all" {
		t.Fatalf("%s cannot look at the pages: %v (see hack/install-gateways.sh)", what, err)
	}
	t.Skipf("NO PAGE IS LOOKED AT without %s: %v (see hack/install-gateways.sh)", what, err)
}

// slowly writes a text as a slow network does, and returns its last piece.
func slowly(to http.ResponseWriter, text string) string {
	pace := time.NewTicker(40 * time.Millisecond)
	defer pace.Stop()
	for len(text) > 1000 {
		_, _ = io.WriteString(to, text[:1000])
		to.(http.Flusher).Flush()
		text = text[1000:]
		<-pace.C
	}
	return text
}

// mostShift is how much of a page may move while it arrives, as browsers measure it (Cumulative Layout Shift): up to 0.1 is called good. It is not 0,
// because a browser may draw a word before its last letters are there.
const mostShift = 0.005

// still loads a page that arrives in pieces: nothing that is there moves when more arrives.
func still(ctx context.Context, t *testing.T, address string) {
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	got, err := chromedp.Run(ctx, chromedp.Evaluate[measured](measures, chromedp.EvalAwaitPromise))
	if err != nil || got.Shift > mostShift {
		t.Errorf("%+v, %v", got, err)
	}
}

// onPaper prints in the light scheme, regardless of that of the screen.
func onPaper(ctx context.Context, t *testing.T, address string) {
	set := func(medium, scheme string) {
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium,
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
			t.Fatal(err)
		}
	}
	set("print", "dark")
	defer set("", "light")
	if err := chromedp.Do(ctx, chromedp.Navigate(address+"/keys")); err != nil {
		t.Fatal(err)
	}
	got, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`["body", "thead th", "td .state.good"].map(e =>
		getComputedStyle(document.querySelector(e)).color).concat(getComputedStyle(document.body).backgroundColor)`))
	want := []string{"rgb(22, 24, 29)", "rgb(90, 96, 112)", "rgb(20, 102, 58)", "rgb(255, 255, 255)"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, want %q, %v", got, want, err)
	}
}

// reached presses Tab through a page: the keyboard comes to everything that can be used, in its order, and one sees where it is.
func reached(ctx context.Context, t *testing.T, address string) {
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	const name = `const name = e => e.id || e.getAttribute("href") || e.value || e.textContent.trim();`
	want, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](name+`[...document.querySelectorAll(
		"a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter(e =>
		e.checkVisibility({visibilityProperty: true}) && !e.matches(":disabled") && (e.type !== "radio" || e.checked)).map(name)`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range want {
		if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
			t.Fatal(err)
		}
		at, err := chromedp.Run(ctx, chromedp.Evaluate[string](`{`+name+`const at = document.activeElement, style = getComputedStyle(at);
			name(at) + (style.outlineStyle === "none" ? " (not seen)" : "") }`))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, at)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
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

func examine(ctx context.Context, t *testing.T, axe string) {
	t.Helper()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](axe+`;axe.run().then(r => r.violations.map(v =>
		v.id + ": " + v.nodes.map(n => n.html + ": " + n.failureSummary).join("; ")))`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Errorf("%s", v)
	}
}
