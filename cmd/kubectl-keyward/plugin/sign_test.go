package plugin

import (
	"strings"
	"testing"
	"time"

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
		"a URL that is none":  {func(s *signing) { s.url = "://" }, ""},
		"no project":          {func(s *signing) { s.project, s.stdin = "", true }, ""},
	} {
		asked := good
		c.change(&asked)
		claims, err := asked.claims(at)
		if (err == nil) != (c.path != "") || claims.Path != c.path {
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
