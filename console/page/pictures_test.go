package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var takePictures = flag.Bool("pictures", false, "take the pictures of docs/console.md, which needs chromium")

const (
	picturesDir  = "../../docs/pictures/console"
	picturesPage = "../../docs/console.md"
	// mostOfPictures is how many bytes all of them have at most: everybody who clones the repository has them.
	mostOfPictures = 1 << 20
	pictureWidth   = 1280
	pictureHeight  = 800
)

// picture is a page as docs/console.md shows it.
type picture struct {
	name, scheme string
	title        string
	page         writer
	tab          string // of the Group; "" is a page without tabs
	crumbs       []Link
}

func pictures() []picture {
	inGroup, inKey := []Link{{"Groups", "/"}, {"acme", "/g"}}, []Link{{"Groups", "/"}, {"acme", "/g"}, {"checkout", "/g/k"}}
	return []picture{
		{"groups", "light", "Groups", Groups{Groups: []Group{
			{Name: "acme", Href: "/g", Tier: "gold", State: State{"Active", Good}, Keys: 4218, Requests: 12345678},
			{Name: "acme-staging", Href: "/g", Tier: "free", State: State{"Quota nearly used", Warn}, Keys: 3, Requests: 9120},
			{Name: "old-shop", Href: "/g", Tier: "free", State: State{"Suspended", Bad}}}}, "", nil},
		{"keys", "light", "Keys of acme", picturedKeys(), "Keys", inGroup},
		{"keys-dark", "dark", "Keys of acme", picturedKeys(), "Keys", inGroup},
		{"key", "light", "checkout", exampleKey, "", inGroup},
		{"create", "light", "Create key", exampleCreate, "", inGroup},
		{"claimed", "light", "Key of checkout", Claimed{Plaintext: NewPlaintext(plaintext), Done: "/g/k"}, "", inKey},
		{"rotate", "light", "Rotate checkout", exampleRotate, "", inKey},
		{"revoke", "light", "Revoke checkout", Revoke{Name: "checkout", Action: "/g", Back: "/g", Use: exampleUse}, "", inKey},
		{"usage", "light", "Usage of acme", exampleUsage(), "Usage", inGroup},
		{"allowlist", "light", "Allowlist shop", exampleAllowlist, "", inGroup},
		{"log", "light", "Log of acme", exampleLog, "Log", inGroup},
		{"request", "light", "Request for a key", exampleRequest, "", inGroup},
	}
}

var exampleOrders = Choices{Of: []Choice{{Value: "name", Text: "Name", Chosen: true}, {Value: "expiry", Text: "Expires soonest"}}}

func picturedKeys() Keys {
	row := func(name, ending, projects, creator string, state State, used, expires time.Duration) Key {
		key := Key{Name: name, Href: "/g/k", Preview: "kw_live_…" + ending, Projects: projects, Creator: creator, State: state, Expiry: now.Add(expires)}
		if used > 0 {
			key.LastUse = now.Add(-used)
		}
		return key
	}
	day, active := 24*time.Hour, State{"Active", Good}
	return Keys{Create: "/g/new", Next: "/g?after=web", Action: "/g", Orders: exampleOrders, Keys: []Key{
		row("checkout", "9f3a", "media, maps", "ada@acme.example", active, 3*time.Minute, 88*day),
		row("gallery", "20e7", "media", "ada@acme.example", active, 2*time.Hour, 41*day),
		row("mobile-app", "b1d4", "media, maps", "ben@acme.example", State{"Rotating", Warn}, 30*time.Second, 6*day),
		row("newsletter", "77aa", "media", "argocd", active, 5*day, 23*day),
		row("partner-north", "e05c", "maps", "cleo@acme.example", State{"Suspended", Bad}, 12*day, 60*day),
		row("web", "01cc", "media", "ben@acme.example", State{"Expired", Off}, 0, -25*time.Hour),
	}}
}

func (p picture) render(t *testing.T) string {
	t.Helper()
	frame := Frame{Title: p.title, Token: "csrf-token", Now: now, Person: "ada@acme.example", SignOut: true, Crumbs: p.crumbs}
	if p.tab != "" {
		for _, name := range []string{"Keys", "Usage", "Projects", "Allowlists", "Requests", "Log"} {
			frame.Tabs = append(frame.Tabs, Tab{Link{name, "/g"}, name == p.tab})
		}
	}
	var to bytes.Buffer
	if err := p.page.Write(&to, frame); err != nil {
		t.Fatal(err)
	}
	return to.String()
}

// of is what a picture was taken of: its page, and all assets.
func of(t *testing.T, text string) string {
	t.Helper()
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%d\n%s", len(text), text)
	err := fs.WalkDir(os.DirFS("assets"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		asset, err := os.ReadFile(filepath.Join("assets", name))
		_, _ = fmt.Fprintf(sum, "\n%s %d\n%s", name, len(asset), asset)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// TestPictures: each picture of docs/console.md is of the page as it is now. It compares what the pictures were taken of, because browsers
// with other fonts draw others. With -pictures it takes them again.
func TestPictures(t *testing.T) {
	list := filepath.Join(picturesDir, "taken-of.txt")
	var now strings.Builder
	texts := map[string]string{}
	for _, p := range pictures() {
		texts["/"+p.name] = p.render(t)
		fmt.Fprintf(&now, "%s  %s\n", of(t, p.scheme+texts["/"+p.name]), p.name)
	}
	if *takePictures {
		take(t, texts)
		if err := os.WriteFile(list, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := os.ReadFile(list)
	if err != nil || string(taken) != now.String() {
		t.Errorf("pages differ from their pictures (%v): look at what `make pictures` takes, and commit it. Now:\n%s", err, now.String())
	}
	shown, err := os.ReadFile(picturesPage)
	if err != nil {
		t.Fatal(err)
	}
	var names, want []string
	for _, reference := range regexp.MustCompile(`!\[[^]]{20,}\]\(pictures/console/([a-z-]+)\.webp\)`).FindAllStringSubmatch(string(shown), -1) {
		names = append(names, reference[1])
	}
	for _, p := range pictures() {
		want = append(want, p.name)
	}
	if slices.Sort(names); !slices.Equal(names, slices.Sorted(slices.Values(want))) {
		t.Errorf("docs/console.md shows %q, with a text of 20 characters or more for each, not %q", names, want)
	}
	files, err := filepath.Glob(filepath.Join(picturesDir, "*.webp"))
	if err != nil || len(files) != len(want) {
		t.Errorf("%d pictures, not %d: %v", len(files), len(want), err)
	}
	size := 0
	for _, name := range files {
		if !slices.Contains(want, strings.TrimSuffix(filepath.Base(name), ".webp")) {
			t.Errorf("%s is not shown: delete it", name)
		}
		text, err := os.ReadFile(name)
		if err != nil || !bytes.HasPrefix(text, []byte("RIFF")) || !bytes.Contains(text[:min(len(text), 16)], []byte("WEBP")) {
			t.Errorf("%s is no picture: %v", name, err)
		}
		size += len(text)
	}
	if size > mostOfPictures {
		t.Errorf("%d bytes of pictures, at most %d", size, mostOfPictures)
	}
}

// take takes all pictures.
func take(t *testing.T, texts map[string]string) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("pictures are taken with chromium: %v (see hack/install-gateways.sh)", err)
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
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	ctx, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.Flag("hide-scrollbars", true))...)
	defer end()
	ctx, closeBrowser := chromedp.NewContext(ctx)
	defer closeBrowser()
	if err := os.MkdirAll(picturesDir, 0o755); err != nil {
		t.Fatal(err)
	}
	quality := int64(80)
	for _, p := range pictures() {
		if err := chromedp.Do(ctx); err != nil {
			t.Fatalf("chromium does not start: %v", err)
		}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: p.scheme}}}); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(pictureWidth, pictureHeight), chromedp.Navigate(server.URL+"/"+p.name)); err != nil {
			t.Fatal(err)
		}
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[measured](measures, chromedp.EvalAwaitPromise)); err != nil { // it has been drawn
			t.Fatal(err)
		}
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(scrollTo(0, 0), true)`)); err != nil {
			t.Fatal(err)
		}
		shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(picturesDir, p.name+".webp"), shot.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
