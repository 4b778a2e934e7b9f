package e2e

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/role"
)

// visitor is somebody with a browser of their own: an address, a connection and cookies.
type visitor struct {
	origin string
	at     *console // whose address the browser has for the origin
	group  place.Group
	key    place.Key // whose page stays open
	token  string
	client *http.Client
	direct *direct

	through *http.Transport
}

// joinAll gives each ServiceAccount of the namespace a role there, by one binding for all of them.
func (w *world) joinAll(is role.Role) {
	w.t.Helper()
	for _, one := range role.ClusterRoles(is) {
		w.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "everybody-"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: one},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + w.namespace}}})
	}
}

// visit makes a person, and a browser at an address of the loopback that is only theirs: sign-ins are counted by address.
func (w *world) visit(c *console, number int) *visitor {
	w.t.Helper()
	v := &visitor{origin: c.origin, at: c}
	name := fmt.Sprintf("person-%03d", number)
	w.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}})
	made, err := w.core.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	v.token = made.Status.Token
	certificate, err := os.ReadFile(filepath.Join(c.dir, "tls.crt"))
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+number/250), byte(1+number%250))}}
	through := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: consoleHost, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return from.DialContext(ctx, "tcp", v.at.pages)
		},
	}
	w.t.Cleanup(through.CloseIdleConnections)
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	v.client, v.through = &http.Client{Transport: through, Jar: jar}, through
	v.direct = w.reach(v.token)
	return v
}

// request is one as a browser sends it.
func (v *visitor) request(ctx context.Context, method, path, mode string, form url.Values) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, v.origin+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	request.Header.Set("Sec-Fetch-Mode", mode)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", v.origin)
	}
	return v.client.Do(request)
}

// load opens a page, and returns its text. What is not 200 at the end is an error.
func (v *visitor) load(ctx context.Context, method, path string, form url.Values) (text string, err error) {
	response, err := v.request(ctx, method, path, "navigate", form)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s answers %s", method, path, response.Status)
	}
	return string(body), err
}

func (v *visitor) open(ctx context.Context, path string) (text string, err error) {
	return v.load(ctx, http.MethodGet, path, nil)
}

var (
	formToken = regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	nextPage  = regexp.MustCompile(`rel="next" href="([^"]+)"`)
	liveOf    = regexp.MustCompile(`data-live="([^"]+)" data-version="([^"]+)"`)
)

// found is what the first group of an expression has found in a page.
func found(in *regexp.Regexp, text string) (string, error) {
	parts := in.FindStringSubmatch(text)
	if parts == nil {
		return "", fmt.Errorf("the page has nothing like %s", in)
	}
	return html.UnescapeString(parts[1]), nil
}

// signIn pastes the token, and comes to the page of the key.
func (v *visitor) signIn(ctx context.Context) error {
	text, err := v.open(ctx, v.key.Of())
	if err != nil {
		return err
	}
	token, err := found(formToken, text)
	if err != nil {
		return err
	}
	text, err = v.load(ctx, http.MethodPost, "/sign-in/token", url.Values{"csrf": {token}, "token": {v.token}, "next": {v.key.Of()}})
	if err != nil {
		return err
	}
	if !liveOf.MatchString(text) {
		return errors.New("the page of the key does not stay current")
	}
	return nil
}

// follow holds the stream of the key's page as its script does: it asks again a second after each end. It returns when ctx ends, or with an error.
func (v *visitor) follow(ctx context.Context, version func(string)) error {
	for ctx.Err() == nil {
		if err := v.stream(ctx, version); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

func (v *visitor) stream(ctx context.Context, version func(string)) error {
	response, err := v.request(ctx, http.MethodGet, v.key.Of("live"), "cors", nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream of %s answers %s", v.key.Name, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			version(text)
		}
	}
	return lines.Err()
}

// direct is the API server without the console, with the token of a person.
type direct struct {
	host, token, namespace string
	client                 *http.Client
}

func (w *world) reach(token string) *direct {
	w.t.Helper()
	authority, err := w.authority()
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	through := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	w.t.Cleanup(through.CloseIdleConnections)
	return &direct{host: w.config.Host, token: token, namespace: w.namespace, client: &http.Client{Transport: through}}
}

func (w *world) authority() ([]byte, error) {
	if len(w.config.CAData) > 0 {
		return w.config.CAData, nil
	}
	return os.ReadFile(w.config.CAFile)
}

// continues finds where a list goes on: at its end, because custom resources are written in the order of the names of their fields, or at the beginning
// of a list of names.
var continues = regexp.MustCompile(`"continue":"([^"]+)"`)

// do sends one request, and reads the answer without decoding it. It returns where a list goes on.
func (d *direct) do(ctx context.Context, method, path, body string, wanted int) (next string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, d.host+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+d.token)
	request.Header.Set("Content-Type", "application/json")
	if strings.Contains(path, "limit=500") {
		request.Header.Set("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	}
	response, err := d.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != wanted {
		err = fmt.Errorf("%s %s answers %s", method, path, response.Status)
	}
	for _, part := range [][]byte{text[max(0, len(text)-4096):], text[:min(len(text), 4096)]} {
		if parts := continues.FindSubmatch(part); parts != nil && next == "" {
			next = string(parts[1])
		}
	}
	return next, err
}

const keywardAPI = "/apis/keyward.dev/v1alpha1"

// list reads parts of a list, each of a page, one after the other.
func (d *direct) list(ctx context.Context, resource string, parts int) error {
	return d.parts(ctx, resource, parts, url.Values{"limit": {"100"}})
}

// keys reads a page of the keys of a Group, and names the names of all.
func (d *direct) keys(ctx context.Context, group string) error {
	return d.parts(ctx, "apikeys", 1, url.Values{"limit": {"100"}, "fieldSelector": {"spec.groupRef.name=" + group}})
}

func (d *direct) names(ctx context.Context, group string) error {
	return d.parts(ctx, "apikeys", 10, url.Values{"limit": {"500"}, "fieldSelector": {"spec.groupRef.name=" + group}})
}

func (d *direct) parts(ctx context.Context, resource string, parts int, query url.Values) error {
	next := ""
	for range parts {
		query.Set("continue", next)
		var err error
		next, err = d.do(ctx, http.MethodGet, keywardAPI+"/namespaces/"+d.namespace+"/"+resource+"?"+query.Encode(), "", http.StatusOK)
		if err != nil || next == "" {
			return err
		}
	}
	return nil
}

// ask asks what the console asks about the role of the person, at once.
func (d *direct) ask(ctx context.Context) error {
	reviews := []string{"patch domainallowlists", "create apikeys", "patch apikeys", "patch groups"}
	failed := make(chan error, len(reviews))
	for _, one := range reviews {
		verb, resource, _ := strings.Cut(one, " ")
		go func() {
			_, err := d.do(ctx, http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
				fmt.Sprintf(`{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{"group":"keyward.dev",`+
					`"resource":%q,"verb":%q,"namespace":%q}}}`, resource, verb, d.namespace), http.StatusCreated)
			failed <- err
		}()
	}
	var err error
	for range reviews {
		err = cmp.Or(<-failed, err)
	}
	return err
}

// object reads one.
func (d *direct) object(ctx context.Context, resource, name string) error {
	_, err := d.do(ctx, http.MethodGet, keywardAPI+"/namespaces/"+d.namespace+"/"+resource+"/"+name, "", http.StatusOK)
	return err
}
