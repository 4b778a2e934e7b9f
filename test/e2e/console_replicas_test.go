package e2e

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/internal/role"
)

// TestConsoleReplicas: a session is good at both replicas, what is ended at one is ended at the other, and a restart of both signs nobody out, with the
// rights of config/console/replicas and no other.
func TestConsoleReplicas(t *testing.T) {
	w := newWorld(t)
	if err := goBuild(w.ctx, "-o", bin("e2e", "keyward-console"), "./cmd/console"); err != nil {
		t.Fatal(err)
	}
	w.lead(managerSetup{startupGrace: quick})
	w.createGroup()
	w.joinAll(role.Viewer)
	a := w.newConsole(t)
	a.flags = []string{"--revocations=" + w.namespace + "/keyward-console-revocations", "--token-file=" + w.createRevocations(a.dir)}
	b := *a
	b.listen()
	a.start()
	b.start()

	v := w.visit(a, 1)
	signIn := func(at *console) {
		t.Helper()
		v.moveTo(at)
		if v.isSignedIn(t) {
			t.Fatal("it is signed in already")
		}
		text, err := v.open(w.ctx, "/")
		if err == nil {
			err = v.post(t, text, "/sign-in/token", url.Values{"token": {v.token}, "next": {"/"}})
		}
		if err != nil || !v.isSignedIn(t) {
			t.Fatalf("it is not signed in: %v", err)
		}
	}
	goodAt := func(at *console) bool { v.moveTo(at); return v.isSignedIn(t) }
	endsAt := func(at *console, how string) {
		t.Helper()
		eventually(t, how+" at the other replica", patience, func() error {
			if goodAt(at) {
				return errors.New("the session is good")
			}
			return nil
		})
	}
	signIn(a)
	if !goodAt(&b) {
		t.Fatal("the other replica does not know the session")
	}
	for _, replica := range []*console{a, &b} {
		replica.stop(patience)
		replica.start()
	}
	if !goodAt(a) || !goodAt(&b) {
		t.Fatal("a restart signs people out")
	}

	kept := v.cookies()
	text, err := v.open(w.ctx, "/")
	if err == nil {
		err = v.post(t, text, "/sign-out", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.setCookies(kept) // somebody has kept them
	endsAt(a, "signed out")

	v.setCookies(nil)
	signIn(&b)
	kept = v.cookies()
	if text, err = v.open(w.ctx, "/sign-out"); err == nil {
		err = v.post(t, text, "/sign-out/everywhere", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.setCookies(kept)
	endsAt(a, "signed out everywhere")
	a.stop(patience)
	a.start()
	if goodAt(a) {
		t.Error("what was ended is good after a restart")
	}
}

// createRevocations applies config/console/replicas/revocations.yaml in the namespace of the test, and writes a token of the console's ServiceAccount.
func (w *world) createRevocations(dir string) (tokenFile string) {
	w.t.Helper()
	text, err := os.ReadFile("../../config/console/replicas/revocations.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	documents := strings.Split(string(text), "\n---\n")
	objects := []client.Object{&corev1.ConfigMap{}, &rbacv1.Role{}, &rbacv1.RoleBinding{}}
	if len(documents) != len(objects) {
		w.t.Fatalf("there are %d documents", len(documents))
	}
	serviceAccount := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "keyward-console"}}
	w.create(serviceAccount)
	for i, object := range objects {
		if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(documents[i], "keyward-system", w.namespace)), object); err != nil {
			w.t.Fatal(err)
		}
		w.create(object)
	}
	made, err := w.core.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.ctx, serviceAccount.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	tokenFile = filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(made.Status.Token), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return tokenFile
}

// moveTo has the browser reach another replica, as through a load balancer.
func (v *visitor) moveTo(at *console) {
	v.at = at
	v.through.CloseIdleConnections()
}

// isSignedIn reports whether the first page is somebody's.
func (v *visitor) isSignedIn(t *testing.T) bool {
	t.Helper()
	text, err := v.open(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(text, `action="/sign-out"`)
}

// post sends a form of a page.
func (v *visitor) post(t *testing.T, page, path string, form url.Values) error {
	t.Helper()
	token, err := found(formToken, page)
	if err != nil {
		return err
	}
	if form == nil {
		form = url.Values{}
	}
	form.Set("csrf", token)
	_, err = v.load(t.Context(), http.MethodPost, path, form)
	return err
}

func (v *visitor) cookies() []*http.Cookie { return v.client.Jar.Cookies(v.home()) }

// setCookies puts cookies in place of all others.
func (v *visitor) setCookies(cookies []*http.Cookie) {
	gone := v.cookies()
	for _, one := range gone {
		one.MaxAge, one.Secure, one.Path = -1, true, "/"
	}
	v.client.Jar.SetCookies(v.home(), gone)
	for _, one := range cookies {
		one.Secure, one.Path = true, "/"
	}
	v.client.Jar.SetCookies(v.home(), cookies)
}

func (v *visitor) home() *url.URL {
	home, _ := url.Parse(v.origin + "/") // startConsole has made it
	return home
}
