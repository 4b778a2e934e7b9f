package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// chrome is a browser with a profile of its own, for which every host is this machine.
type chrome struct {
	ctx     context.Context
	profile string
	close   func()
}

// openChrome skips the test where there is no Chromium, unless what hack/install-gateways.sh installs is required.
func openChrome(t testing.TB) *chrome {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("KEYWARD_READERS") == "all" {
			t.Fatalf("nobody looks at the console: %v (see hack/install-gateways.sh)", err)
		}
		t.Skipf("NOBODY LOOKS AT THE CONSOLE without chromium: %v (see hack/install-gateways.sh)", err)
	}
	b := &chrome{profile: t.TempDir()}
	ctx, stop := context.WithTimeout(context.Background(), 5*patience)
	ctx, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.IgnoreCertErrors, chromedp.UserDataDir(b.profile),
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-component-update", true))...)
	ctx, closeBrowser := chromedp.NewContext(ctx)
	b.ctx = ctx
	b.close = func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("chromium does not end: %v", err)
		}
		closeBrowser()
		end()
		stop()
	}
	t.Cleanup(func() {
		closeBrowser()
		end()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return b
}

// hand uses one tab as a person does.
type hand struct {
	t   testing.TB
	ctx context.Context
	// keyboard has it use nothing but keys, once an address was entered.
	keyboard bool
	// noScript says that pages run no script. What the test looks at is read all the same.
	noScript bool
	// seen has each page that it has come to.
	seen []string
}

func (b *chrome) tab(t testing.TB) *hand {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(b.ctx)
	t.Cleanup(closeTab)
	h := &hand{t: t, ctx: ctx}
	if _, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hand) withoutScript() {
	h.t.Helper()
	h.noScript = true
	if _, err := chromedp.Call(h.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) do(steps ...chromedp.Action[chromedp.Void]) {
	h.t.Helper()
	if err := chromedp.Do(h.ctx, steps...); err != nil {
		h.t.Fatal(err)
	}
}

// read evaluates an expression in the page.
func read[T any](h *hand, expression string, options ...chromedp.EvaluateOption) T {
	h.t.Helper()
	value, err := chromedp.Run(h.ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", expression, err, h.page())
	}
	return value
}

// page is the one that was come to last.
func (h *hand) page() string {
	if len(h.seen) == 0 {
		return ""
	}
	return h.seen[len(h.seen)-1]
}

// arrive does something that leads to another page, and waits for that.
func (h *hand) arrive(by func()) {
	h.t.Helper()
	read[bool](h, "window.before = true")
	by()
	text := ""
	eventually(h.t, "another page", patience, func() (err error) {
		text, err = chromedp.Run(h.ctx, chromedp.Evaluate[string](
			`document.readyState === "complete" && !window.before ? document.documentElement.outerHTML : ""`))
		if err == nil && text == "" {
			err = errors.New("the page is still there")
		}
		return err
	})
	h.seen = append(h.seen, text)
}

// open enters an address.
func (h *hand) open(address string) {
	h.t.Helper()
	h.arrive(func() {
		h.t.Helper()
		h.do(chromedp.Navigate(address))
	})
}

// Expressions that find what is seen with a text, or by its name.
func link(text string) string { return withText("a", text) }

func button(text string) string { return withText("button", text) }

func withText(kind, text string) string {
	return fmt.Sprintf("[...document.querySelectorAll(%q)].find(e => e.textContent.trim() === %q && e.checkVisibility({visibilityProperty: true}))", kind, text)
}

func field(name string) string {
	return fmt.Sprintf("document.querySelector(%q)", "main [name="+name+"]")
}

func option(name, value string) string {
	return fmt.Sprintf("document.querySelector(%q)", fmt.Sprintf("main [name=%s][value=%q]", name, value))
}

// has reports whether something is on the page.
func (h *hand) has(what string) bool { return read[bool](h, "Boolean("+what+")") }

// reach goes to something, with Tab or with the mouse.
func (h *hand) reach(what string) {
	h.t.Helper()
	if !h.has(what) {
		h.t.Fatalf("the page has no %s: %s", what, h.page())
	}
	if !h.keyboard {
		where := "{const e = " + what + `; e.scrollIntoView({block: "center"}); const b = e.getClientRects()[0]; [b.left + b.width / 2, b.top + b.height / 2]}`
		at := read[[]float64](h, where)
		for still := false; !still; { // a page that has just become current moves
			time.Sleep(100 * time.Millisecond)
			now := read[[]float64](h, where)
			at, still = now, slices.Equal(at, now)
		}
		h.do(chromedp.MouseClickXY(at[0], at[1]))
		return
	}
	for range 100 {
		h.do(chromedp.KeyEvent(kb.Tab))
		if read[bool](h, "document.activeElement === "+what) {
			return
		}
	}
	h.t.Fatalf("Tab does not come to %s: %s", what, h.page())
}

// press uses a link or a button, which leads to another page.
func (h *hand) press(what string) {
	h.t.Helper()
	h.arrive(func() { h.use(what) })
}

// use uses a link or a button.
func (h *hand) use(what string) {
	h.t.Helper()
	h.reach(what)
	if h.keyboard {
		h.do(chromedp.KeyEvent(kb.Enter))
	}
}

// fill types a text into a field, in place of what is there.
func (h *hand) fill(name, text string) {
	h.t.Helper()
	h.reach(field(name))
	h.do(chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)), chromedp.KeyEvent(text))
	if got := read[string](h, field(name)+".value"); got != text {
		h.t.Fatalf("%s has %q", name, got)
	}
}

// choose chooses one of several.
func (h *hand) choose(name, value string) {
	h.t.Helper()
	chosen := option(name, value) + ".checked"
	if read[bool](h, chosen) {
		return
	}
	switch {
	case !h.keyboard:
		h.reach(option(name, value))
	case read[string](h, option(name, value)+".type") == "checkbox":
		h.reach(option(name, value))
		h.do(chromedp.KeyEvent(" "))
	default: // Tab comes to the chosen one of them, and arrows choose another
		h.reach(fmt.Sprintf("document.querySelector(%q)", "main [name="+name+"]:checked"))
		for range 10 {
			if read[bool](h, chosen) {
				break
			}
			h.do(chromedp.KeyEvent(kb.ArrowDown))
		}
	}
	if !read[bool](h, chosen) {
		h.t.Fatalf("%s is not chosen", value)
	}
}

// reloadUntil loads the page again until it has something.
func (h *hand) reloadUntil(what string) {
	h.t.Helper()
	address := read[string](h, "location.href")
	eventually(h.t, what, patience, func() error {
		h.open(address)
		if !h.has(what) {
			return errors.New(h.page())
		}
		return nil
	})
}

// awaits waits until the page has something: automatically, or loaded again where it runs no script.
func (h *hand) awaits(what string) {
	h.t.Helper()
	if h.noScript {
		h.reloadUntil(what)
		return
	}
	read[bool](h, "window.unloaded = true")
	eventually(h.t, what, patience, func() error {
		if !h.has(what) {
			return errors.New(read[string](h, "document.documentElement.outerHTML"))
		}
		return nil
	})
	if !read[bool](h, "Boolean(window.unloaded)") {
		h.t.Errorf("the page was loaded again for %s", what)
	}
	h.seen = append(h.seen, read[string](h, "document.documentElement.outerHTML"))
}

// says fails the test unless the page has the texts.
func (h *hand) says(texts ...string) {
	h.t.Helper()
	shown := read[string](h, "document.body.textContent")
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			h.t.Errorf("%s does not say %q: %s", read[string](h, "location.href"), text, shown)
		}
	}
}

// signIn signs in where the browser is sent to, and comes back.
func (h *hand) signIn(address, token string) {
	h.t.Helper()
	h.open(address)
	h.says("Sign in")
	h.fill("token", token)
	h.press(button("Sign in with the token"))
}
