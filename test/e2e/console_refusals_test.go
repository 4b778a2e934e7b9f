package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/role"
)

// refusals has what the console must not do, in Chromium. Each has a console of its own, because sign-ins are counted.
func (p *product) refusals(t *testing.T, token string) {
	viewer := p.person("vera", role.Viewer, false)
	for name, one := range map[string]func(*testing.T, *console, *hand){
		"a foreign Group": func(t *testing.T, c *console, h *hand) { p.foreign(t, c, h, token) },
		"a viewer": func(t *testing.T, c *console, h *hand) {
			h.signIn(c.origin+place.Group{Namespace: p.namespace, Name: "acme"}.Of(), viewer)
			h.says("Keys of acme")
			if h.has(link("Create key")) {
				t.Error("a viewer is offered to create a key")
			}
			h.open(c.origin + place.Group{Namespace: p.namespace, Name: "acme"}.Of("new-key"))
			h.says("Not allowed")
		},
		"cookies":             func(t *testing.T, c *console, h *hand) { p.cookies(t, c, h, token, viewer) },
		"a session that ends": func(t *testing.T, c *console, h *hand) { p.ends(t, c, h, token) },
		"another site":        func(t *testing.T, c *console, h *hand) { p.anotherSite(t, c, h, token) },
		"sign-ins":            func(t *testing.T, c *console, h *hand) { manySignIns(t, c, h) },
		"back":                func(t *testing.T, c *console, h *hand) { p.back(t, c, h, token) },
		"two tabs":            func(t *testing.T, c *console, h *hand) { p.twoTabs(t, c, h, token) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openChrome(t)
			one(t, p.startConsole(t), b.tab(t))
		})
	}
}

func (p *product) acme() place.Group { return place.Group{Namespace: p.namespace, Name: "acme"} }

func (p *product) suspended(t *testing.T, name string) bool {
	t.Helper()
	key := &v1alpha1.ApiKey{}
	if err := p.admin.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: name}, key); err != nil {
		t.Fatal(err)
	}
	return ptr.Deref(key.Spec.Suspended, false)
}

// foreign looks for a Group of somebody else: it is nowhere, and there is no difference to one that does not exist.
func (p *product) foreign(t *testing.T, c *console, h *hand, token string) {
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-victim-"}}
	p.create(other)
	victim := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: other.Name, Name: "victim"}}
	victim.Spec.Projects = []v1alpha1.Project{{Name: "media", Routes: []v1alpha1.Route{{Paths: []string{"/media/**"}}}}}
	p.create(victim)
	h.signIn(c.origin, token)
	for _, path := range []string{"/", "/?search=" + other.Name + "%2F"} {
		h.open(c.origin + path)
		if strings.Contains(h.page(), "/groups/"+other.Name) {
			t.Errorf("%s shows it: %s", path, h.page())
		}
	}
	var said []string
	for _, name := range []string{"victim", "nobody"} {
		of := place.Group{Namespace: other.Name, Name: name}
		for _, path := range []string{of.Of(), of.Of("new-key"), of.Of("log"), place.Key{Group: of, Namespace: other.Name, Name: "web"}.Of("revoke")} {
			h.open(c.origin + path)
			h.says("It does not exist, or you may not see it.")
			said = append(said, strings.ReplaceAll(read[string](h, "document.querySelector('main').textContent"), name, "NAME"))
		}
	}
	if strings.Join(said[:4], "\n") != strings.Join(said[4:], "\n") {
		t.Errorf("who asks learns whether it exists: %q", said)
	}
}

// cookies changes cookies, and swaps them with those of another person.
func (p *product) cookies(t *testing.T, c *console, h *hand, token, other string) {
	h.signIn(c.origin+p.acme().Of(), token)
	own := h.cookies(c)
	for name, value := range own {
		if name == "__Host-keyward-csrf" {
			continue
		}
		last := value[len(value)-1]
		h.setCookie(c, name, value[:len(value)-1]+string(last^1)) // a bit of the code
		h.open(c.origin + p.acme().Of())
		if signedIn := !strings.Contains(h.page(), "Token of the cluster"); signedIn != (name == "__Host-keyward-active") {
			t.Errorf("%s was changed: %s", name, h.page())
		}
		h.setCookie(c, name, value)
	}
	h.open(c.origin + p.acme().Of("new-key"))
	h.says("Create key")

	viewer := openChrome(t).tab(t)
	viewer.signIn(c.origin+p.acme().Of(), other)
	viewer.setCookie(c, "__Host-keyward-active", own["__Host-keyward-active"]) // of an admin
	viewer.open(c.origin + p.acme().Of())
	if viewer.has(link("Create key")) {
		t.Error("the context of another session is good")
	}
	viewer.open(c.origin + p.acme().Of("new-key"))
	viewer.says("Not allowed")
	viewer.setCookie(c, "__Host-keyward-token", own["__Host-keyward-active"]) // as another
	viewer.open(c.origin + p.acme().Of())
	viewer.says("Token of the cluster")
}

func (h *hand) cookies(c *console) map[string]string {
	h.t.Helper()
	all, err := chromedp.Call(h.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{c.origin}})
	if err != nil {
		h.t.Fatal(err)
	}
	values := map[string]string{}
	for _, cookie := range all.Cookies {
		values[cookie.Name] = cookie.Value
	}
	if len(values) != 3 {
		h.t.Fatalf("%d cookies", len(values))
	}
	return values
}

func (h *hand) setCookie(c *console, name, value string) {
	h.t.Helper()
	_, err := chromedp.Call(h.ctx, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: c.origin, Path: "/", Secure: ptr.To(true), HTTPOnly: ptr.To(true)})
	if err != nil {
		h.t.Fatal(err)
	}
}

// ends has a session end while a form is filled in: the console starts again, which ends all. What was typed is kept, and done once somebody has
// signed in again in another tab.
func (p *product) ends(t *testing.T, c *console, h *hand, token string) {
	h.signIn(c.origin+p.acme().Of("new-key"), token)
	h.fill("name", "survivor")
	h.fill("description", "Typed before the session ended.")
	h.choose("projects", "product")
	c.kill()
	c.start()
	h.press(button("Create key"))
	h.says("Your session is over, and nothing was done.", "What you entered is kept.")
	again := (&chrome{ctx: h.ctx}).tab(t)
	again.signIn(c.origin, token)
	for range 3 { // its token is of no session, and then no Group is chosen: each time the form is shown again
		if h.has(button("Send again")) {
			h.press(button("Send again"))
		} else if h.has(button("Create key")) {
			h.press(button("Create key"))
		}
	}
	h.says("survivor", "Enforcement")
	key := &v1alpha1.ApiKey{}
	if err := p.admin.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "survivor"}, key); err != nil ||
		key.Spec.Description != "Typed before the session ended." || len(key.Spec.Projects) != 1 || key.Spec.Projects[0] != "product" {
		t.Errorf("%v: %+v", err, key.Spec)
	}
}

// anotherSite sends forms to the console, which the browser sends with the cookies that their SameSite permits.
func (p *product) anotherSite(t *testing.T, c *console, h *hand, token string) {
	p.createKey("target")
	target := place.Key{Group: p.acme(), Namespace: p.namespace, Name: "target"}
	h.signIn(c.origin+target.Of("suspend"), token)
	stolen := read[string](h, field("csrf")+".value")
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><form method="post" action="` + c.origin + target.Of("suspend") + `"><input name="csrf" value="` + stolen + `"><button>Win</button></form>
			<iframe src="` + c.origin + target.Of("suspend") + `"></iframe>`))
	}))
	t.Cleanup(evil.Close)
	port := evil.URL[strings.LastIndex(evil.URL, ":"):]
	for _, site := range []string{"http://evil.test.example", "http://sub." + consoleHost, "http://" + consoleHost} { // another site, a subdomain, another port
		h.open(site + port)
		if frame := read[string](h, `(() => { try { return frames[0].document.body ? frames[0].document.body.textContent : "" } catch { return "refused" } })()`); strings.Contains(frame, "Suspend") {
			t.Errorf("%s frames the console", site)
		}
		h.arrive(func() { h.do(chromedp.Click("button")) })
		if p.suspended(t, "target") {
			t.Fatalf("a form of %s is done", site)
		}
		if strings.Contains(h.page(), "Send again") {
			t.Errorf("a form of %s is shown again to be sent: %s", site, h.page())
		}
	}
	h.open(c.origin + target.Of("suspend"))
	h.press(button("Suspend target"))
	if !p.suspended(t, "target") {
		t.Error("the console's own form is not done")
	}
}

// manySignIns tries wrong tokens.
func manySignIns(t *testing.T, c *console, h *hand) {
	h.open(c.origin)
	for i := range 11 {
		h.fill("token", "wrong")
		if i < 10 {
			h.press(button("Sign in with the token"))
			h.says("Sign in")
			continue
		}
		response, err := chromedp.RunResponse(h.ctx, chromedp.Click("main form button"))
		if err != nil {
			t.Fatal(err)
		}
		if response.Status != http.StatusTooManyRequests || response.Headers["Retry-After"] == nil && response.Headers["retry-after"] == nil {
			t.Errorf("%d %v", response.Status, response.Headers)
		}
		h.says("Too many")
	}
}

// back goes back to where the text of a key was shown, and forward, and reloads.
func (p *product) back(t *testing.T, c *console, h *hand, token string) {
	p.createKey("shown", func(key *v1alpha1.ApiKey) { key.Spec.Secret.Reveal = v1alpha1.RevealOnce })
	key := place.Key{Group: p.acme(), Namespace: p.namespace, Name: "shown"}
	h.signIn(c.origin+key.Of(), token)
	h.reloadUntil(link("Claim"))
	text := h.claims("shown")
	gone := func(what string, by chromedp.Action[chromedp.Void]) {
		_ = chromedp.Do(h.ctx, by) // that a page cannot be loaded again is an error
		for range 2 {
			if now := read[string](h, "document.documentElement.outerHTML"); strings.Contains(now, text) {
				t.Errorf("%s: the text is shown again", what)
			}
		}
	}
	gone("back", chromedp.NavigateBack())
	gone("reload", chromedp.Reload())
	gone("back again", chromedp.NavigateBack())
	gone("forward", chromedp.NavigateForward())
	p.answersTo(t, text, http.StatusOK)
}

// twoTabs has two Groups: a form of the one that was left is shown again, and says of which Group it is.
func (p *product) twoTabs(t *testing.T, c *console, h *hand, token string) {
	p.createKey("tabbed")
	key := place.Key{Group: p.acme(), Namespace: p.namespace, Name: "tabbed"}
	h.signIn(c.origin+key.Of("suspend"), token)
	second := (&chrome{ctx: h.ctx}).tab(t)
	second.open(c.origin + place.Group{Namespace: p.namespace, Name: "beside"}.Of())
	second.says("Keys of beside")
	h.press(button("Suspend tabbed"))
	h.says("Another Group was chosen since, in another tab, and nothing was done.", "about the Group acme")
	if p.suspended(t, "tabbed") {
		t.Fatal("it was done")
	}
	h.press(button("Suspend tabbed"))
	if !p.suspended(t, "tabbed") {
		t.Error("it is not done once it is meant")
	}
	second.press(link("Create key"))
	second.says("media")
}
