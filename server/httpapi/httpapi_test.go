package httpapi

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
)

func mint(t testing.TB) string {
	t.Helper()
	key, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}

// Credential is the one that the usual headers carry.
func Credential(header http.Header) decision.Credential {
	var usual *credential.Locations
	return usual.Read(header, "", "").Credential
}

func FuzzAuthorization(f *testing.F) {
	key := mint(f)
	for _, seed := range []string{"Bearer " + key, key, "Basic dTpw", "bearer  " + key + ", " + key, "Bearer\t" + key, ""} {
		f.Add(seed, "")
	}
	f.Add("Basic x", key)
	f.Fuzz(func(t *testing.T, authorization, apiKey string) {
		header := http.Header{HeaderAuthorization: {authorization}, HeaderAPIKey: {apiKey}}
		got := Credential(header)
		if (got.Form == decision.WellFormed) != (got.Digest != keyformat.Digest{}) {
			t.Fatalf("form %v with digest %v", got.Form, got.Digest)
		}
		if got.Form != decision.WellFormed {
			return
		}
		// What was accepted is one key, and nothing of it is left for the upstream.
		text := strings.Trim(authorization, " \t")
		if i := strings.LastIndexByte(text, ' '); i >= 0 {
			text = text[i+1:]
		}
		if keyformat.DigestOf(text) != got.Digest && keyformat.DigestOf(strings.Trim(apiKey, " \t")) != got.Digest {
			t.Fatalf("%q, %q: the digest of something else", authorization, apiKey)
		}
		var usual *credential.Locations
		new(Stripping).Strip(header, Sender{OwnAuthorization: usual.Read(header, "", "").OwnAuthorization})
		if left := Credential(header); left.Form == decision.WellFormed {
			t.Fatalf("%q is left", header)
		}
	})
}

func TestRemovals(t *testing.T) {
	header := http.Header{
		"X-Keyward-Group": {"spoofed"}, "x-keyward-project": {"spoofed"}, "X_Keyward_Group": {"spoofed"}, "X-Keyward_Key-Id": {"spoofed"},
		"X-KEYWARD-ANYTHING": {"spoofed"}, "X-Keywardness": {"fine"}, "Accept": {"*/*"},
		"Authorization": {"Bearer x"}, "X-Api-Key": {"x"}, "X_api_key": {"x"},
	}
	got := new(Stripping).Names(nil, header, Sender{}, []Header{{HeaderGroup, "tenants/acme"}})
	want := []string{"Authorization", "X-Api-Key", "X-KEYWARD-ANYTHING", "X-Keyward_Key-Id", "X_Keyward_Group", "X_api_key",
		"x-keyward-project"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&Stripping{KeepCredential: true}).Names(nil, http.Header{"Authorization": {"Bearer x"}, "X-Api-Key": {"x"}}, Sender{},
		nil); got != nil {
		t.Errorf("the credential is removed: %q", got)
	}
	if got := new(Stripping).Names(nil, http.Header{"Authorization": {"Basic dTpw"}}, Sender{OwnAuthorization: true}, nil); got != nil {
		t.Errorf("somebody else's credential is removed: %q", got)
	}
	new(Stripping).Strip(header, Sender{})
	Set(header, []Header{{HeaderGroup, "tenants/acme"}})
	if len(header) != 3 || header.Get(HeaderGroup) != "tenants/acme" {
		t.Errorf("left: %q", header)
	}
}

func TestContextHeaders(t *testing.T) {
	d := decision.Decision{
		Key: decision.Key{ID: "k1", Scope: &decision.Scope{Permissions: []string{"read", "checkout"}}},
		Group: &decision.Group{Identity: "tenants/acme", DisplayName: "Acmé 100%\r\nX-Evil: 1", Tier: "Pro",
			Context: []decision.ContextValue{
				{Name: "bucketName", Value: "acme-media"}, {Name: "bucketname", Value: "second"}, {Name: "empty"}, {Name: "share",
					Value: "50% of it"}, {Name: "smuggled", Value: "a\r\nX-Evil: 1"}, {Name: "bad name", Value: "x"},
				{Name: "under_score", Value: "x"}}},
		Project: &decision.Project{Name: "marketing"},
	}
	want := []Header{
		{HeaderGroup, "tenants/acme"}, {HeaderGroupName, "Acm%C3%A9 100%25%0D%0AX-Evil: 1"}, {HeaderTier, "Pro"}, {HeaderProject,
			"marketing"},
		{HeaderKeyID, "k1"}, {HeaderPermissions, "read,checkout"}, {"X-Keyward-Context-Bucketname", "acme-media"},
		{"X-Keyward-Context-Share", "50% of it"}, {"X-Keyward-Context-Smuggled", "a%0D%0AX-Evil: 1"},
	}
	if got := ContextHeaders(d, ""); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	d.Key.Scope.Context = []decision.ContextValue{{Name: "bucketName", Value: "acme-trial"}, {Name: "plan", Value: "trial"}, {Name: "share"}}
	want[6].Value = "acme-trial"
	want[7] = Header{"X-Keyward-Context-Plan", "trial"} // an empty value of a key removes the group's
	if got := ContextHeaders(d, ""); !slices.Equal(got, want) {
		t.Errorf("with those of the key: %q, want %q", got, want)
	}
	d.Code = decision.KeyRevoked
	if got := ContextHeaders(d, ""); got != nil {
		t.Errorf("a denial injects %q", got)
	}
}

func TestEncodeIsSafeAndReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		encoded := Encode(text)
		if !httpguts.ValidHeaderFieldValue(encoded) || strings.TrimSpace(encoded) != encoded {
			t.Fatalf("%q is no header value", encoded)
		}
		if decoded, err := url.PathUnescape(encoded); err != nil || decoded != text {
			t.Fatalf("%q is %q is %q, %v", text, encoded, decoded, err)
		}
	})
}

func TestDenials(t *testing.T) {
	for _, code := range decision.Codes() {
		if code.Allows() {
			continue
		}
		recorder := httptest.NewRecorder()
		NewDenial(decision.Decision{Code: code}, &decision.Request{}, 0).Write(recorder)
		if code == decision.Preflight {
			if recorder.Code != http.StatusNoContent || recorder.Body.Len() > 0 {
				t.Errorf("%d %s", recorder.Code, recorder.Body)
			}
			continue
		}
		var p Problem
		if err := json.Unmarshal(recorder.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		header := recorder.Header()
		if recorder.Code != code.Status() || p.Status != code.Status() || p.Code != code.String() ||
			p.Type != "https://keyward.dev/problems/"+code.String() || p.Detail == "" {
			t.Errorf("%v: %d %+v", code, recorder.Code, p)
		}
		if header.Get("Content-Type") != ProblemType || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %q", code, header)
		}
		challenge := header.Get("WWW-Authenticate")
		if (challenge != "") != (code.Status() == http.StatusUnauthorized) ||
			strings.Contains(challenge, "invalid_token") != (challenge != "" && code != decision.KeyMissing) {
			t.Errorf("%v: WWW-Authenticate %q", code, challenge)
		}
	}
}

// TestFolding: folding without a copy gives the same result as folding with one.
func TestFolding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringOfN(rapid.SampledFrom([]rune("xX-_.~!keywardKEYWARD\u212aİé")), 0, 14, -1).Draw(t, "name")
		if rapid.Bool().Draw(t, "near") {
			name = rapid.SampledFrom([]string{"X-Keyward-", "x_KEYWARD-", "x-\u212aeyward-", "x-api-\u212aey", "X-API-KEY",
				"authorization", "authorİzation", "x-request_id", "x.keyward!", "X|API~KEY"}).Draw(t, "begin") +
				rapid.SampledFrom([]string{"", "x", "é"}).Draw(t, "end")
		}
		for _, folded := range []string{reservedPrefix, foldedAPIKey, foldedAuthorization, foldedRequestID} {
			if got := hasFoldedPrefix(name, folded); got != strings.HasPrefix(fold(name), folded) {
				t.Errorf("%q begins with %s: %v", name, folded, got)
			}
			if got := isFolded(name, folded); got != (fold(name) == folded) {
				t.Errorf("%q is %s: %v", name, folded, got)
			}
		}
	})
}
