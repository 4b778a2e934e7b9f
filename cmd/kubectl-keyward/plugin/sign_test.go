package plugin

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// TestSignedClaims: what is signed is what was asked for, and the rest of the URL stays.
func TestSignedClaims(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	good := signing{url: "https://cdn.acme.example/videos/a%20b.mp4?x=1", project: "marketing", expires: time.Minute}
	for name, c := range map[string]struct {
		change func(*signing)
		path   string // "" if it is refused
	}{
		"the path of the URL": {func(*signing) {}, "/videos/a%20b.mp4"},
		"another path":        {func(s *signing) { s.path = "/videos/" }, "/videos/"},
		"a day":               {func(s *signing) { s.expires = 24 * time.Hour }, "/videos/a%20b.mp4"},
		"more than a day":     {func(s *signing) { s.expires = 24*time.Hour + 1 }, ""},
		"no time":             {func(s *signing) { s.expires = 0 }, ""},
		"no URL":              {func(s *signing) { s.url = "" }, ""},
		"no path":             {func(s *signing) { s.url = "https://cdn.acme.example" }, ""},
		"a path elsewhere":    {func(s *signing) { s.path = "/elsewhere/" }, ""},
		"a longer name":       {func(s *signing) { s.path = "/videos/a" }, ""},
		"two readers":         {func(s *signing) { s.url = "https://cdn.acme.example/a/../v" }, ""},
		"a path parameter":    {func(s *signing) { s.url = "https://cdn.acme.example/a;b/v?x=1" }, "/a;b/v"},
		"no host":             {func(s *signing) { s.url = "/videos/a" }, ""},
		"no scheme":           {func(s *signing) { s.url = "//cdn.acme.example/videos/a" }, ""},
		"a user":              {func(s *signing) { s.url = "https://user:pw@cdn.acme.example/videos/a" }, ""},
		"a URL that is none":  {func(s *signing) { s.url = "://" }, ""},
		"no project":          {func(s *signing) { s.project, s.stdin = "", true }, ""},
	} {
		asked := good
		c.change(&asked)
		claims, err := asked.claims(at)
		if (err == nil) != (c.path != "") || err == nil && claims.Path != c.path {
			t.Errorf("%s: %+v, %v", name, claims, err)
		}
		if err != nil {
			continue
		}
		text := mint(t, 7).Reveal()
		token, err := urltoken.Sign(text, claims)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := urltoken.Add(asked.url, token)
		if err != nil || signed != asked.url+"&keyward-token="+token || strings.Contains(signed, text) {
			t.Errorf("%s: %s, %v", name, signed, err)
		}
	}
}

func TestProjectThatIsSignedFor(t *testing.T) {
	key := &v1alpha1.ApiKey{}
	key.Spec.Projects = []v1alpha1.ProjectName{"marketing"}
	if got, err := projectOf(key, ""); err != nil || got != "marketing" {
		t.Errorf("%q, %v", got, err)
	}
	key.Spec.Projects = append(key.Spec.Projects, "product")
	if got, err := projectOf(key, "product"); err != nil || got != "product" {
		t.Errorf("%q, %v", got, err)
	}
	for _, asked := range []string{"", "sales"} {
		if got, err := projectOf(key, asked); err == nil {
			t.Errorf("%q: %q", asked, got)
		}
	}
}

// TestSign: what is printed is signed with the key of the Secret, and says nothing else of it.
func TestSign(t *testing.T) {
	const target = "https://cdn.acme.example/videos/intro.mp4?x=1"
	key := grown(t, func(key *v1alpha1.ApiKey) { key.Spec.SignedURLs = ptr.To(true) })
	plain := text(t, key)
	began := time.Now()
	r := inLive(t, "", "sign", key.Name, "--url", target, "--expires", "1h", "-o", "json").expect(t, 0).lacks(t, plain)
	document := read[signedURL](t, r)
	_, query, _ := strings.Cut(document.URL, "?")
	token, rest, count := urltoken.Cut(query)
	parsed, err := urltoken.Parse(token)
	if err != nil || count != 1 || rest != "x=1" || !strings.HasPrefix(document.URL, target+"&") {
		t.Fatalf("%s: %v", document.URL, err)
	}
	secret, err := urltoken.Derive(plain)
	if err != nil {
		t.Fatal(err)
	}
	claims, ok := parsed.Verify(secret)
	if !ok || claims.Project != string(v1alpha1.DefaultProject) || claims.Path != "/videos/intro.mp4" || claims.Expires.Before(began.Add(time.Hour-time.Second)) ||
		!claims.Expires.Equal(document.ExpiresAt) {
		t.Errorf("%+v, %t", claims, ok)
	}
	r = inLive(t, plain, "sign", "--key-stdin", "--project", string(v1alpha1.DefaultProject), "--url", target, "--expires", "1h").expect(t, 0).lacks(t, plain)
	if !strings.HasPrefix(r.out, target+"&keyward-token=") {
		t.Errorf("%q", r.out)
	}
}

func TestSignOfWhatSignsNothing(t *testing.T) {
	const target = "https://cdn.acme.example/videos/intro.mp4"
	namespace(t, "signing")
	object(t, "signing", "quiet", func(*v1alpha1.ApiKey) {})
	object(t, "signing", "fresh", func(key *v1alpha1.ApiKey) { key.Spec.SignedURLs = ptr.To(true) })
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "signing", Name: "fresh"},
		StringData: map[string]string{v1alpha1.SecretKeyAPIKey: mint(t, 1).Reveal()}}
	if err := admin.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"quiet": "set spec.signedURLs: true", "fresh": "cannot verify yet what version 1"} {
		keyward(t, "", "sign", name, "--url", target, "-n", "signing").expect(t, ExitRefused, says).lacks(t, "keyward-token=")
	}
}
