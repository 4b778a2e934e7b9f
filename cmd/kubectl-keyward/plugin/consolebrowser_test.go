package plugin

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// visitor uses Chromium without JavaScript.
type visitor struct {
	t   *testing.T
	ctx context.Context
}

// newVisitor skips the test without Chromium, unless everything that hack/install-gateways.sh installs is required.
func newVisitor(t *testing.T) *visitor {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("KEYWARD_READERS") == "all" {
			t.Fatal(err)
		}
		t.Skipf("NO PAGE IS VISITED without chromium: %v (see hack/install-gateways.sh)", err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(stop)
	ctx, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))...)
	t.Cleanup(end)
	ctx, closeBrowser := chromedp.NewContext(ctx)
	t.Cleanup(closeBrowser)
	v := &visitor{t, ctx}
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return v
}

// expect does something that leads to a page, and requires the page to say something.
func (v *visitor) expect(says string, do ...chromedp.Action[chromedp.Void]) (text string) {
	v.t.Helper()
	if _, err := chromedp.RunResponse(v.ctx, do...); err != nil {
		v.t.Fatalf("the way to %q: %v", says, err)
	}
	if text = v.text(); !strings.Contains(text, says) {
		v.t.Fatalf("the page does not say %q: %s", says, text)
	}
	return text
}

func (v *visitor) text() string {
	v.t.Helper()
	text, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		v.t.Fatal(err)
	}
	return text
}

func click(selector string) chromedp.Action[chromedp.Void] { return chromedp.Click(selector) }

func write(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(selector, text)
}

// TestAKeyInABrowserWithoutJavaScript creates a key, claims it once, and revokes it, as a person does who has switched JavaScript off.
func TestAKeyInABrowserWithoutJavaScript(t *testing.T) {
	v := newVisitor(t)
	obey(t, server(t, "edge-1"))
	group := grown(t, mounted).Name
	address := serving(t)
	origin, _, _ := strings.Cut(address, "/enter/")
	path := "/groups/" + live + "/" + group

	v.expect(group, chromedp.Navigate(address))
	v.expect("Keys of "+group, click(`a[href="`+path+`"]`))
	v.expect("Create key", click(`a[href="`+path+`/new-key"]`))
	const name = "from-a-browser"
	v.expect("kind: ApiKey", write("#name", name), write("#description", "<b>A pipeline</b>"),
		click(`input[name="reveal"][value="Once"]`), click(`button[value="yaml"]`))
	v.expect(name, click(`button[value="create"]`)) // what was filled in is kept beside the YAML

	key := &v1alpha1.ApiKey{}
	key.Namespace, key.Name = live, name
	t.Cleanup(func() { _ = admin.Delete(context.Background(), key) })
	eventually(t, "the key waits to be claimed", func() bool { return current(t, key).Status.SecretRef != nil })
	if key.Spec.Description != "<b>A pipeline</b>" || key.Spec.Secret.Reveal != v1alpha1.RevealOnce {
		t.Errorf("the key is not as it was filled in: %+v", key.Spec)
	}
	keyPath := path + "/keys/" + live + "/" + name
	v.expect("To be claimed", chromedp.Navigate(origin+keyPath))
	v.expect("shown once", click(`a[href="`+keyPath+`/claim"]`))
	shown := v.expect("I have stored it", click(`main form button`))
	plaintext := ""
	for _, word := range strings.Fields(shown) {
		if looksLikeKey(word) {
			plaintext = word
		}
	}
	if plaintext == "" || !strings.HasSuffix(plaintext, key.Status.Preview[len(key.Status.Preview)-4:]) {
		t.Fatalf("no key is shown: %s", strings.ReplaceAll(shown, plaintext, "…"))
	}
	hidden := func(when string) {
		t.Helper()
		if strings.Contains(v.text(), plaintext) {
			t.Errorf("%s shows the key again", when)
		}
	}
	v.expect("is gone", chromedp.Reload())
	hidden("loading the page again")
	v.expect("Version 1", click(`a[href="`+keyPath+`"]`))
	hidden("the page of the key")
	_ = chromedp.Do(v.ctx, chromedp.NavigateBack()) // Chromium may refuse to show a form's answer again
	hidden("going back")

	v.expect("Type "+name, chromedp.Navigate(origin+keyPath+"/revoke"))
	v.expect("This is not its name.", write("#revoke-name", "from-a"), click(`button.destroy`))
	v.expect("Enforcement", chromedp.SetValue("#revoke-name", name), click(`button.destroy`))
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(key), key); err != nil || key.Spec.Revoked == nil || !*key.Spec.Revoked {
		t.Errorf("the key is not revoked: %v, %+v", err, key.Spec)
	}
	eventually(t, "the page says so", func() bool {
		return chromedp.Do(v.ctx, chromedp.Navigate(origin+keyPath)) == nil && strings.Contains(v.text(), "Revoked")
	})
}
