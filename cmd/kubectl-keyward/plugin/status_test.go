package plugin

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// population creates keys in every state that status describes.
func population(t *testing.T, namespace string) {
	t.Helper()
	object(t, namespace, "web", func(k *v1alpha1.ApiKey) {
		k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "product"}
		k.Spec.Description = "The website"
		k.Spec.Limits.RequestsPerMonth = ptr.To[int64](5_000)
		k.Status.Quota = &v1alpha1.KeyQuota{Period: "2026-11", ResetsAt: *at(9 * day), Limit: ptr.To[int64](5_000), Used: ptr.To[int64](4_590)}
		first := version(t, 1, v1alpha1.VersionRetiring, -60*day)
		first.RetiresAt, first.LastUsedAt = at(time.Hour), at(-3*time.Minute)
		gone := version(t, 7, v1alpha1.VersionRetired, -120*day)
		gone.ID, gone.RetiresAt = 1, at(-59*day)
		first.ID = 2
		second := version(t, 3, v1alpha1.VersionActive, -23*time.Hour)
		second.Cause, second.LastUsedAt = v1alpha1.CauseScheduled, at(-10*time.Second)
		k.Status.Versions = []v1alpha1.KeyVersion{gone, first, second}
		k.Status.LastUsedAt, k.Status.NextRotationAt = at(-10*time.Second), at(59*day)
		condition(k, v1alpha1.ConditionCutoverPending, metav1.ConditionTrue, v1alpha1.ReasonStillUsed,
			"version 2 is still used, by 2 client addresses")
	})
	object(t, namespace, "stopped", func(k *v1alpha1.ApiKey) {
		k.Status.State = v1alpha1.KeySuspended
		k.Status.Enforcement = &v1alpha1.Enforcement{
			Servers: ptr.To[int32](3), Acknowledged: ptr.To[int32](1), WaitingFor: []string{"edge-1"},
			Disconnected: []string{"edge-2"}, Record: "r2",
		}
		const suspended = "spec.suspended: the key is refused until this is false again"
		condition(k, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSuspended, suspended)
		condition(k, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSuspended, suspended)
		condition(k, v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForServers,
			"1 of 3 validation servers have acknowledged; waiting for edge-1")
	})
	object(t, namespace, "pipeline", func(k *v1alpha1.ApiKey) {
		k.Spec.GroupRef.Namespace = "tenants"
		k.Spec.Secret.Reveal = v1alpha1.RevealOnce
		k.Status.Versions[0].MintedAt, k.Status.Versions[0].DeliveredAt = *at(-time.Minute), at(-time.Minute)
		k.Status.Versions[0].ExpiresAt = nil
		condition(k, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady,
			"the key is accepted, and waits in Secret pipeline to be claimed")
	})
	object(t, namespace, "ended", func(k *v1alpha1.ApiKey) {
		k.Spec.Revoked = ptr.To(true)
		k.Status.State, k.Status.Versions[0].State = v1alpha1.KeyRevoked, v1alpha1.VersionRevoked
		const revoked = "the key is revoked for good; create a new ApiKey where one is needed"
		condition(k, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonRevoked, revoked)
		condition(k, v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonRevoked, revoked)
	})
	object(t, namespace, "fresh", func(k *v1alpha1.ApiKey) { k.Status = v1alpha1.ApiKeyStatus{} })
	object(t, namespace, "overdue", func(k *v1alpha1.ApiKey) { k.Status.Versions[0].ExpiresAt = at(-time.Minute) })
}

func TestStatus(t *testing.T) {
	namespace(t, "status")
	population(t, "status")
	keyward(t, "", "status", "-n", "status").golden(t, "status-all")
	for _, name := range []string{"web", "stopped", "pipeline", "ended", "fresh", "overdue"} {
		keyward(t, "", "status", "-n", "status", name).golden(t, "status-"+name)
	}
	keyward(t, "", "status", "-n", "status", "web", "-o", "json").golden(t, "status-json")
	keyward(t, "", "status", "-n", "status", "web", "-o", "yaml").golden(t, "status-yaml")

	all := read[struct{ Keys []keyView }](t, keyward(t, "", "status", "-A", "-o", "json").expect(t, 0))
	found := 0
	for i := range all.Keys {
		if all.Keys[i].Namespace == "status" {
			found++
		}
	}
	if found != 6 {
		t.Errorf("-A: %d of 6 keys", found)
	}
	keyward(t, "", "status", "-A").expect(t, 0, "NAMESPACE", "tenants/acme")
	keyward(t, "", "status", "-n", "nowhere").expect(t, 0, `no ApiKeys in namespace "nowhere"`)
}

// TestStatusOfRefusals: why requests with the key were refused lately, with the hint of the table of codes; of another key that had the name before, nothing.
func TestStatusOfRefusals(t *testing.T) {
	namespace(t, "refusals")
	key := object(t, "refusals", "web", func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"marketing"} })
	usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: "refusals", Name: "acme"}}
	if err := admin.Create(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	keyward(t, "", "status", "-n", "refusals", "web").expect(t, 0).lacks(t, "Refused")
	refused := func(id, code, origin string, requests int64, since, last time.Duration) {
		usage.Status.RefusedKeys = append(usage.Status.RefusedKeys, v1alpha1.RefusedKey{
			KeyID: id, Code: code, APIKey: v1alpha1.KeyUsageOwner{Namespace: "refusals", Name: "web"}, Requests: requests,
			FirstAt: *at(since), LastAt: *at(last), Origin: origin,
		})
	}
	refused(key.Status.KeyID, "origin_denied", "https://staging.acme.example", 1240, -6*time.Hour, -3*time.Minute)
	refused(key.Status.KeyID, "key_retired", "", 1, -40*time.Hour, -40*time.Hour)
	refused(key.Status.KeyID, "other", "", 2, -41*time.Hour, -41*time.Hour)
	refused("k9999999999999999", "key_expired", "", 7, -time.Hour, -time.Hour)
	if err := admin.Status().Update(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	keyward(t, "", "status", "-n", "refusals", "web").golden(t, "status-refusals")
	shown := read[keyView](t, keyward(t, "", "status", "-n", "refusals", "web", "-o", "json").expect(t, 0))
	if of := shown.RefusedLately; len(of) != 3 || of[0].Code != "origin_denied" || of[0].Requests != 1240 || of[0].Hint == "" {
		t.Errorf("%+v", of)
	}
}

// behind is an API server that the plugin reaches through a proxy, which changes what it answers.
func behind(t *testing.T, change func(r *http.Response) error) {
	t.Helper()
	transport, err := rest.TransportFor(environment.Config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(environment.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Accept-Encoding")
		},
		Transport: transport, ModifyResponse: change,
	})
	t.Cleanup(proxy.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["proxy"] = &clientcmdapi.Cluster{Server: proxy.URL}
	config.Contexts["proxy"] = &clientcmdapi.Context{Cluster: "proxy"}
	config.CurrentContext = "proxy"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	was := kubeconfig
	kubeconfig = path
	t.Cleanup(func() { kubeconfig = was })
}

func answer(r *http.Response, status int, body []byte) {
	r.StatusCode, r.Body, r.ContentLength = status, io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// TestStatusWithoutUsage: a key has a status also where what was used of its Group cannot be read, or the cluster has none of it.
func TestStatusWithoutUsage(t *testing.T) {
	namespace(t, "unused")
	object(t, "unused", "web", func(*v1alpha1.ApiKey) {})
	const note = "Whether the key was refused lately is not known"
	t.Run("no CRD", func(t *testing.T) {
		behind(t, func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			if strings.Contains(r.Request.URL.Path, "groupusages") {
				t.Errorf("a GroupUsage is read")
			}
			body = bytes.ReplaceAll(body, []byte(`"GroupUsage"`), []byte(`"OtherUsage"`)) // in what the server says that it has
			answer(r, r.StatusCode, body)
			return nil
		})
		keyward(t, "", "status", "-n", "unused", "web").expect(t, 0, "web").lacks(t, note)
	})
	t.Run("a failure", func(t *testing.T) {
		behind(t, func(r *http.Response) error {
			if strings.Contains(r.Request.URL.Path, "groupusages") {
				answer(r, http.StatusInternalServerError, nil)
			}
			return nil
		})
		got := keyward(t, "", "status", "-n", "unused", "web").expect(t, 0, "web")
		if !strings.Contains(got.err, note) {
			t.Errorf("without a note: %s", got.err)
		}
	})
}

// TestStatusOfASchedule: the next rotation is shown in the time zone of the window, too, and what follows it.
func TestStatusOfASchedule(t *testing.T) {
	namespace(t, "schedule")
	object(t, "schedule", "web", func(k *v1alpha1.ApiKey) {
		k.Spec.Rotation.Every = "60d"
		k.Spec.Rotation.Window = &v1alpha1.RotationWindow{
			Days: []v1alpha1.Weekday{"Sat", "Sun"}, From: "22:00", To: "02:00", TimeZone: "Europe/Berlin",
		}
		k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "shop"}, {Kind: "StatefulSet", Name: "db"}}
		k.Spec.Secret.Notify = []v1alpha1.Notified{{Kind: "PushSecret", Name: "vault"}}
		k.Status.NextRotationAt = at(59 * day)
	})
	shown := keyward(t, "", "status", "-n", "schedule", "web").expect(t, 0, "Tue 2027-01-19 13:00:00 +01:00",
		"Sat, Sun from 22:00 to 02:00, Europe/Berlin", "Deployment/shop, StatefulSet/db", "PushSecret/vault")
	shown.golden(t, "status-schedule")

	for want, w := range map[string]v1alpha1.RotationWindow{
		"every day, UTC": {}, "Mon, UTC": {Days: []v1alpha1.Weekday{"Mon"}}, "every day from 00:00 to 06:00, UTC": {To: "06:00"},
		"every day from 22:00 to 24:00, Asia/Tokyo": {From: "22:00", TimeZone: "Asia/Tokyo"},
	} {
		if got := describeWindow(&w); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, zone := range []string{"", "UTC", "Local", "../etc/passwd", "No/Where"} {
		if got := localTime(at(0), zone); got != "" {
			t.Errorf("zone %q: %q", zone, got)
		}
	}
	if got := localTime(nil, "Asia/Tokyo"); got != "" {
		t.Errorf("no rotation: %q", got)
	}
}

func TestMistakes(t *testing.T) {
	key := mint(t, 9).Reveal()
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"an unknown verb":        {[]string{"rotat"}, ExitUsage, "kubectl keyward --help"},
		"an unknown flag":        {[]string{"status", "--nope"}, ExitUsage, "--nope"},
		"an unknown output":      {[]string{"status", "-o", "xml"}, ExitUsage, "json or yaml"},
		"a name too much":        {[]string{"reveal", "a", "b"}, ExitUsage, "accepts 1 arg"},
		"no name":                {[]string{"reveal"}, ExitUsage, "accepts 1 arg"},
		"a name and all":         {[]string{"status", "a", "-A"}, ExitUsage, "not both"},
		"a key as a name":        {[]string{"explain", key}, ExitUsage, "kubectl keyward verify"},
		"an overlap in words":    {[]string{"rotate", "a", "--overlap", "soon"}, ExitUsage, "24h"},
		"no such ApiKey":         {[]string{"status", "nobody"}, ExitError, "status -A"},
		"no such context":        {[]string{"status", "--context", "nope"}, ExitError, "nope"},
		"nobody at home":         {[]string{"status", "--server", "https://127.0.0.1:1"}, ExitError, "--context"},
		"somebody without right": {[]string{"status", "--as", "nobody"}, ExitError, "ask an admin"},
		"no token Secret": {[]string{"explain", "x", "--url", "http://127.0.0.1:1", "--token-secret", "default/none"}, ExitError,
			"--token-file"},
		"no validation server":   {[]string{"explain", "x", "--validator-namespace", "default"}, ExitError, "--selector"},
		"a URL without a scheme": {[]string{"explain", "x", "--url", "127.0.0.1"}, ExitUsage, "http://127.0.0.1:8083"},
	} {
		t.Run(name, func(t *testing.T) {
			r := keyward(t, "", test.args...).expect(t, test.code, test.want).lacks(t, key)
			if r.out != "" || len(r.err) == 0 || r.err[len(r.err)-1] != '\n' || len(splitLines(r.err)) != 1 {
				t.Errorf("not one line on standard error: %q %q", r.out, r.err)
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	namespace(t, "completion")
	object(t, "completion", "website", func(*v1alpha1.ApiKey) {})
	object(t, "completion", "worker", func(*v1alpha1.ApiKey) {})
	month(t, "completion", "acme", func(*v1alpha1.Group) {})
	month(t, "completion", "other", func(*v1alpha1.Group) {})
	complete := func(args ...string) string {
		// What follows the last argument is not read by __complete.
		return keywardRaw(t, append([]string{"__complete", "--kubeconfig", kubeconfig, "-n", "completion"}, args...)...).out
	}
	golden(t, "completion", complete("revoke", "we")+complete("status", "")+complete("reveal", "website", "")+complete("re")+
		complete("status", "-o", "")+complete("status", "--namespace", "compl")+
		complete("usage", "ac")+complete("usage", "acme", "")+complete("usage", "acme", "-o", ""))
}
