package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// TestSignedURLs: a signed URL lives exactly as long as it says, and not a request longer than its key. The clocks are those of the
// machine, which the test and the validation server share.
func TestSignedURLs(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidator(validatorSetup{instance: "proxy", upstream: w.contentThatMustSeeNoToken(),
		flags: []string{"--max-failures-per-minute=0"}})
	v.awaitReady()
	w.createGroup()

	t.Run("as long as it says", func(t *testing.T) {
		key := w.mint("lasting", signs)
		expires := time.Now().Add(4 * time.Second).Truncate(time.Second)
		url := w.signURL(key, expires)
		allowed := 0
		for refused := 0; refused < 10; {
			sent := time.Now()
			code := v.answers(t, url, "")
			switch answered := time.Now(); {
			case code == "allowed" && !sent.Before(expires):
				t.Fatalf("a URL until %s is still allowed at %s", expires, sent)
			case code == "allowed":
				allowed++
			case code != "url_expired" || answered.Before(expires):
				t.Fatalf("a URL until %s is answered %s at %s", expires, code, answered)
			default:
				refused++
			}
		}
		if allowed == 0 {
			t.Error("a URL that had expired before it was requested proves nothing")
		}
		if code := v.answers(t, "/mkt/scene", key); code != "allowed" {
			t.Errorf("its key is answered %s", code)
		}
		t.Logf("%d requests until it expired", allowed)
	})
	for _, end := range []struct {
		name, byKey, byURL string // codes that are right
		declare            []func(*v1alpha1.ApiKey)
		begin              func(name string)
	}{
		{"expiry", "key_expired", "key_expired", []func(*v1alpha1.ApiKey){expiresSoon}, func(string) {}},
		{"rotation", "key_retired", "key_retired", []func(*v1alpha1.ApiKey){overlapping("2s")}, func(name string) {
			w.trigger(name, "now")
		}},
		{"revocation", "key_revoked", "key_revoked", nil, w.revoke},
		{"suspension", "key_suspended", "key_suspended", nil, func(name string) {
			patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"suspended":true}}`))
			if err := w.admin.Patch(w.ctx, w.newKey(name), patch); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"deletion", "key_revoked key_unknown", "key_revoked url_invalid", nil, func(name string) {
			if err := w.admin.Delete(w.ctx, w.newKey(name)); err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			key := w.mint(end.name, append(end.declare, signs)...)
			turns := v.askByTurns(key, w.signURL(key, time.Now().Add(time.Hour)))
			select {
			case <-turns.begun:
			case <-turns.done:
				t.Fatalf("%v %v", turns.asked, turns.err)
			}
			end.begin(end.name)
			turns.endTogether(t, end.byKey, end.byURL)
		})
	}
}

// TestSignedURLsOutliveTexts: the text of a version is gone from the cluster once another is delivered. What it has signed goes on
// during the overlap, with another leader, and on a validation server that has never seen it.
func TestSignedURLsOutliveTexts(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{startupGrace: quick})
	content := w.contentThatMustSeeNoToken()
	known := w.startValidator(validatorSetup{instance: "known", upstream: content})
	known.awaitReady()
	w.createGroup()
	key := w.mint("web", signs, overlapping("1h"))
	url := w.signURL(key, time.Now().Add(time.Hour))
	w.rotateNow("web")
	m.kill()
	known.kill()
	known.start() // from its snapshot, without a manager
	known.awaitReady()
	if code := known.answers(t, url, ""); code != "allowed" {
		t.Errorf("a validation server that has restarted answers %s", code)
	}

	w.lead(managerSetup{startupGrace: defaultStartupGrace})
	fresh := w.startValidator(validatorSetup{instance: "fresh", upstream: content})
	fresh.awaitReady()
	next := w.signURL(w.plaintext("web"), time.Now().Add(time.Hour))
	for _, v := range []*validator{known, fresh} {
		eventually(t, v.setup.instance+" to have both versions", patience, func() error {
			for _, signed := range []string{url, next} {
				if code := v.answers(t, signed, ""); code != "allowed" {
					return fmt.Errorf("it answers %s", code)
				}
			}
			return nil
		})
	}
	w.revoke("web")
	w.awaitKey("web", "revoked on both servers", isEnforced(2))
	for _, v := range []*validator{known, fresh} {
		for _, signed := range []string{url, next} {
			if code := v.answers(t, signed, ""); code != "key_revoked" {
				t.Errorf("%s answers %s after the revocation is enforced", v.setup.instance, code)
			}
		}
	}
}

func signs(key *v1alpha1.ApiKey) { key.Spec.SignedURLs = ptr.To(true) }

// expiresSoon leaves time to be minted, published and delivered.
func expiresSoon(key *v1alpha1.ApiKey) {
	key.Spec.ExpiresAt = &metav1.Time{Time: time.Now().Add(8 * time.Second).Truncate(time.Second)}
}

// contentThatMustSeeNoToken answers 204, as no integration does.
func (w *world) contentThatMustSeeNoToken() (url string) {
	content := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/mkt/scene?size=2" && r.RequestURI != "/mkt/scene" {
			w.t.Errorf("the content server is asked for %s", r.RequestURI)
		}
		response.WriteHeader(http.StatusNoContent)
	}))
	w.t.Cleanup(content.Close)
	return content.URL
}

// signURL returns the target that the key has signed. The token must be found nowhere later.
func (w *world) signURL(key string, expires time.Time) (target string) {
	w.t.Helper()
	token, err := urltoken.Sign(key, urltoken.Claims{Project: "marketing", Path: "/mkt/", Expires: expires})
	if err != nil {
		w.t.Fatal(err)
	}
	w.minted.add(token, "a signed URL of "+w.namespace)
	target, err = urltoken.Add("/mkt/scene?size=2", token)
	if err != nil {
		w.t.Fatal(err)
	}
	return target
}

// throughProxy requests a target of the reverse proxy, with the key if there is one, and returns the code of the denial, or that it
// was allowed.
func (v *validator) throughProxy(ctx context.Context, target, key string) (code string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.listens.Proxy.String()+target, http.NoBody)
	if err != nil {
		return "", err
	}
	if key != "" {
		request.Header.Set("X-Api-Key", key)
	}
	response, err := v.requests.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNoContent {
		return "allowed", nil
	}
	var problem struct{ Code string }
	err = json.NewDecoder(response.Body).Decode(&problem)
	return problem.Code, err
}

// answers is throughProxy in a test.
func (v *validator) answers(t *testing.T, target, key string) (code string) {
	t.Helper()
	code, err := v.throughProxy(t.Context(), target, key)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// turns are requests with a key, and with a URL that it has signed, one after the other.
type turns struct {
	begun chan struct{} // both were allowed
	done  chan struct{} // both were refused long enough

	asked []turn // may be read when done
	err   error
}

type turn struct {
	byURL bool
	code  string
}

func (v *validator) askByTurns(key, url string) *turns {
	const refusals = 20
	a := &turns{begun: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for refused := 0; refused < refusals; {
			next := turn{byURL: len(a.asked)%2 == 1}
			if next.byURL {
				next.code, a.err = v.throughProxy(v.world.ctx, url, "")
			} else {
				next.code, a.err = v.throughProxy(v.world.ctx, "/mkt/scene", key)
			}
			if a.err != nil {
				return
			}
			if a.asked = append(a.asked, next); next.code != "allowed" {
				refused++
			}
			if len(a.asked) == 2 {
				close(a.begun)
			}
		}
	}()
	return a
}

// endTogether waits until both are refused: as soon as one is, so is the other, and neither is ever allowed again.
func (a *turns) endTogether(t *testing.T, byKey, byURL string) {
	t.Helper()
	select {
	case <-a.done:
	case <-time.After(patience):
		t.Fatal("they do not end")
	}
	if a.err != nil {
		t.Fatal(a.err)
	}
	allowed := 0
	for i, turn := range a.asked {
		switch {
		case turn.code == "allowed" && allowed < i:
			t.Fatalf("request %d, by URL: %t, is allowed after a refusal: %v", i, turn.byURL, a.asked)
		case turn.code == "allowed":
			allowed++
		case turn.byURL && !strings.Contains(byURL, turn.code), !turn.byURL && !strings.Contains(byKey, turn.code):
			t.Fatalf("request %d, by URL: %t, is answered %s", i, turn.byURL, turn.code)
		}
	}
	if allowed < 2 {
		t.Error("a key that had ended before it was used proves nothing")
	}
	t.Logf("%d requests were allowed, and none after the first refusal", allowed)
}
