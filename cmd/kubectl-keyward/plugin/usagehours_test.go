package plugin

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/usageapi"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// hoursKept stands in for a usage store that keeps hours.
type hoursKept map[usageseries.Hour]usageseries.HourUse

func (h hoursKept) Hours(context.Context, string) (map[usageseries.Hour]usageseries.HourUse, error) {
	if h == nil {
		return nil, errors.New("no store")
	}
	return h, nil
}

// hoursOfMarch has a request more in each hour, until the running one.
func hoursOfMarch() hoursKept {
	kept, running := hoursKept{}, usageseries.HourOf(now)
	for i := range uint64(usageseries.MaxHours) {
		kept[running-usageseries.MaxHours+1+usageseries.Hour(i)] = usageseries.HourUse{Requests: 1000 + i, Bytes: 1000 * (1000 + i)}
	}
	return kept
}

// ofHours is a manager whose API of usage is asked, and what people have to ask it.
type ofHours struct {
	*httptest.Server
	ca    string
	asked atomic.Int64
}

func managerOfHours(t *testing.T, hours usageapi.Hours) *ofHours {
	t.Helper()
	direct, err := client.NewWithWatch(environment.Config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	// The hours of the tests are before the Group was created, which were of an earlier one otherwise.
	c := interceptor.NewClient(direct, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, name client.ObjectKey, object client.Object, options ...client.GetOption) error {
			err := c.Get(ctx, name, object, options...)
			object.SetCreationTimestamp(*at(-100 * day))
			return err
		},
	})
	served := (&usageapi.Server{Client: c, Reader: c, Clock: clocktesting.NewFakeClock(now), Hours: hours}).Handler()
	m := &ofHours{ca: filepath.Join(t.TempDir(), "ca.crt")}
	m.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		served.ServeHTTP(w, r)
	}))
	t.Cleanup(m.Close)
	m.writeCA(t, m.ca)
	return m
}

func (m *ofHours) writeCA(t *testing.T, path string) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tokenOf creates a ServiceAccount that may get these of the namespace, and returns a token of it.
func tokenOf(t *testing.T, namespace, name string, resources ...string) string {
	t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	c, err := client.New(environment.Config, client.Options{Scheme: controllers.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []client.Object{sa, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"keyward.dev"}, Resources: resources, Verbs: []string{"get"}}},
	}, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
	}} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	request := &authenticationv1.TokenRequest{}
	if err := c.SubResource("token").Create(t.Context(), sa, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// fileWith writes a text into a file.
func fileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubeconfigOf is the kubeconfig of a user of the cluster.
func kubeconfigOf(t *testing.T, user *clientcmdapi.AuthInfo) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = user
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHours: hours are those of the manager's own API, in every form of output, by the rights of the token.
func TestHours(t *testing.T) {
	const in = "hours"
	namespace(t, in)
	month(t, in, "acme", func(*v1alpha1.Group) {})
	manager := managerOfHours(t, hoursOfMarch())
	reader := tokenOf(t, in, "reader", "groupusages", "groups")
	file := fileWith(t, reader+"\n")
	usage := func(args ...string) result {
		return keyward(t, "", append([]string{"usage", "acme", "-n", in, "--manager", manager.URL, "--manager-ca-file", manager.ca}, args...)...)
	}
	eventually(t, "the rights are known", func() bool { return usage("--hours", "1", "--token-file", file).code == 0 })
	for name, args := range map[string][]string{
		"hours": {"--hours", "10"}, "hours-csv": {"--hours", "3", "-o", "csv"}, "hours-json": {"--hours", "2", "-o", "json"},
	} {
		usage(append(args, "--token-file", file)...).golden(t, "overtime-"+name)
	}
	most := usage("--hours", "192", "--token-file", file).expect(t, 0, "TOTAL", "2026-11-13T13:00Z")
	for _, line := range splitLines(most.out) {
		if utf8.RuneCountInString(line) > 140 {
			t.Errorf("a line is too long: %s", line)
		}
	}
	if lines := splitLines(usage("--hours", "192", "--token-file", file, "-o", "csv").out); len(lines) != 193 || lines[0] != "hour,requests,bytes" {
		t.Errorf("%d lines, %v", len(lines), lines[0])
	}

	t.Run("with the token of the kubeconfig", func(t *testing.T) {
		for name, user := range map[string]*clientcmdapi.AuthInfo{
			"token": {Token: reader}, "file": {TokenFile: file},
			"program": {Exec: &clientcmdapi.ExecConfig{
				APIVersion: "client.authentication.k8s.io/v1", Command: "sh", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
				Args: []string{"-c", `printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat ` + file + `)"`},
			}},
		} {
			var out, problems bytes.Buffer
			a := &app{streams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &problems}, now: func() time.Time { return now }}
			code := run(t.Context(), a, []string{"usage", "acme", "-n", in, "--manager", manager.URL, "--manager-ca-file", manager.ca, "--hours", "2",
				"--kubeconfig", kubeconfigOf(t, user)}, "test")
			result{code, out.String(), problems.String()}.expect(t, 0, "Group hours/acme by hour (UTC): 2026-11-21T11:00Z to 2026-11-21T12:00Z")
			if t.Failed() {
				t.Fatal(name)
			}
		}
	})
	t.Run("without a token", func(t *testing.T) {
		before := manager.asked.Load()
		usage("--hours", "2").expect(t, ExitRefused, "your kubeconfig has no token", "--token-file").lacks(t, "TOTAL")
		usage("--hours", "2", "--as", "jane", "--as-group", "system:masters", "--token-file", file).expect(t, ExitUsage, "--as: the manager shows hours to the user of a token")
		usage("--hours", "2", "--token-file", fileWith(t, "")).expect(t, ExitUsage, "--token-file: write one token")
		usage("--hours", "2", "--token-file", "/no/such/file").expect(t, ExitError, "--token-file:")
		if manager.asked.Load() != before {
			t.Error("the manager was asked")
		}
	})
	t.Run("without the right", func(t *testing.T) {
		stranger := tokenOf(t, in, "stranger", "groups")
		usage("--hours", "2", "--token-file", fileWith(t, stranger)).expect(t, ExitError, "403", "may not get groupusages.keyward.dev hours/acme").lacks(t, stranger)
		usage("--hours", "2", "--token-file", fileWith(t, "no-token-of-the-cluster")).expect(t, ExitError, "it does not accept the token").lacks(t, "no-token-of")
	})
	t.Run("without a store", func(t *testing.T) {
		other := managerOfHours(t, nil)
		keyward(t, "", "usage", "acme", "-n", in, "--hours", "2", "--manager", other.URL, "--manager-ca-file", other.ca, "--token-file", file).expect(t,
			ExitError, "400", "set --usage-store")
	})
}

// TestHoursGoToNobodyElse: a token is sent to the host that is named, if its certificate is of the CA that is named.
func TestHoursGoToNobodyElse(t *testing.T) {
	const in, secret = "hours-elsewhere", "the-token-of-jane"
	namespace(t, in)
	month(t, in, "acme", func(*v1alpha1.Group) {})
	var got []string
	rogue := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
	}))
	t.Cleanup(rogue.Close)
	answer := func(http.ResponseWriter) {}
	manager := &ofHours{ca: filepath.Join(t.TempDir(), "ca.crt")}
	manager.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("sent with %q", r.Header.Get("Authorization"))
		}
		answer(w)
	}))
	t.Cleanup(manager.Close)
	manager.writeCA(t, manager.ca)
	file := fileWith(t, secret)
	usage := func(args ...string) result {
		return keyward(t, "", append([]string{"usage", "acme", "-n", in, "--hours", "2", "--token-file", file}, args...)...).lacks(t, secret)
	}
	named := []string{"--manager", manager.URL, "--manager-ca-file", manager.ca}

	for _, status := range []int{301, 302, 307, 308} {
		answer = func(w http.ResponseWriter) {
			w.Header().Set("Location", rogue.URL)
			w.WriteHeader(status)
		}
		usage(named...).expect(t, ExitError, "it redirects to elsewhere")
	}
	usage("--manager", rogue.URL).expect(t, ExitError, "nothing was sent; --manager-ca-file names", "--manager-server-name")
	at, err := url.Parse(manager.URL)
	if err != nil {
		t.Fatal(err)
	}
	usage("--manager", "https://localhost:"+at.Port(), "--manager-ca-file", manager.ca).expect(t, ExitError, "nothing was sent")
	answer = func(w http.ResponseWriter) { http.Error(w, "\x1b[2Jnothing", http.StatusNotFound) }
	usage("--manager", "https://localhost:"+at.Port(), "--manager-ca-file", manager.ca, "--manager-server-name", "example.com").expect(t, ExitError,
		"404 Not Found, as no API of usage does").harmless(t)
	if len(got) != 0 {
		t.Errorf("another host was sent %q", got)
	}

	for what, body := range map[string]string{
		"another Group":  `{"group":"x/y","by":"hour"}`,
		"days":           `{"group":"` + in + `/acme","by":"day"}`,
		"too many":       `{"group":"` + in + `/acme","by":"hour","points":[` + strings.Repeat(`{},`, 192) + `{}]}`,
		"without an end": `{"group":"` + strings.Repeat("x", 2<<20),
		"no JSON":        "hello",
	} {
		answer = func(w http.ResponseWriter) { _, _ = w.Write([]byte(body)) }
		usage(named...).expect(t, ExitError, "is it the API of usage?")
		if t.Failed() {
			t.Fatal(what)
		}
	}
	answer = func(w http.ResponseWriter) {
		_, _ = w.Write([]byte(`{"group":"` + in + `/acme","by":"hour","from":"\u001b[2J","points":[{"hour":"a\u001b[2J\nFORGED"}]}`))
	}
	usage(named...).harmless(t)
	answer = func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"detail":"\u001b[2J\nFORGED"}`))
	}
	usage(named...).harmless(t).expect(t, ExitError, "503")
}

// TestHoursMistakes: each error names the flag, and what to write, and quotes no password.
func TestHoursMistakes(t *testing.T) {
	const at = "https://keyward-usage.keyward-system.svc:9448"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"none":          {[]string{"--hours", "0", "--manager", at}, "--hours: write a number from 1 to 192"},
		"too many":      {[]string{"--hours", "193", "--manager", at}, "for longer ago, use --days"},
		"no manager":    {[]string{"--hours", "24"}, "--manager: hours are in no object of the cluster"},
		"no hours":      {[]string{"--manager", at}, "--manager: this is for --hours"},
		"a CA for days": {[]string{"--days", "3", "--manager-ca-file", "x"}, "--manager-ca-file: this is for --hours"},
		"days":          {[]string{"--hours", "3", "--days", "3", "--manager", at}, "--hours, --days: write one of them"},
		"by":            {[]string{"--hours", "3", "--by", "origin", "--manager", at}, "--hours, --by: write one of them"},
		"wide":          {[]string{"--hours", "3", "--manager", at, "-o", "wide"}, "wide shows the month at a glance"},
		"unprotected":   {[]string{"--hours", "3", "--manager", "http://keyward-usage"}, "--manager: write https://"},
		"no host":       {[]string{"--hours", "3", "--manager", "https://"}, "--manager: write https://"},
		"a password":    {[]string{"--hours", "3", "--manager", "https://jane:hunter2@host"}, "--manager: write https://"},
		"a query":       {[]string{"--hours", "3", "--manager", at + "?token=hunter2"}, "--manager: write https://"},
	} {
		r := keyward(t, "", append([]string{"usage", "acme", "-n", "default-hours"}, test.args...)...).lacks(t, "hunter2")
		if r.expect(t, ExitUsage, test.want); r.out != "" || len(splitLines(r.err)) != 1 {
			t.Errorf("%s: not one line on standard error: %q %q", name, r.out, r.err)
		}
	}
}

// TestHoursOfAnIngress: an API below a path is asked there.
func TestHoursOfAnIngress(t *testing.T) {
	h := &hourly{}
	for text, want := range map[string]string{
		"https://a.example": "https://a.example/v1/usage/series", "https://a.example/keyward/": "https://a.example/keyward/v1/usage/series",
		"https://[::1]:9448": "https://[::1]:9448/v1/usage/series",
	} {
		at, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if h.at = at; h.at.JoinPath(adminv1.UsageSeriesPath).String() != want {
			t.Errorf("%s: %s", text, h.at.JoinPath(adminv1.UsageSeriesPath))
		}
	}
	if !slices.Contains(ofManager, "token-file") {
		t.Error("--token-file is not refused without --hours")
	}
}
