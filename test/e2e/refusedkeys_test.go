package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestRefusedKeys: who asks from a wrong origin is refused, and the owner of the key reads so in the GroupUsage and by the plugin: with the code, the origin and what
// to do. A key that nobody has is nobody's. A refusal of a key that is revoked is there, too; and with the ApiKey, all of it goes.
func TestRefusedKeys(t *testing.T) {
	w := newWorld(t)
	if err := goBuild(w.ctx, "-o", bin("e2e", "kubectl-keyward"), "./cmd/kubectl-keyward"); err != nil {
		t.Fatal(err)
	}
	w.lead(managerSetup{startupGrace: quick})
	w.createGroup()
	w.bind("vera", "view")
	v := w.startValidator(validatorSetup{instance: "counter", flags: []string{"--log-level=info", "--usage-interval=1s"}})
	v.awaitReady()
	key, other := w.mint("web"), w.mint("other")
	ask := func(key, origin string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.listens.HTTP.String()+"/authz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{
			"Authorization": {"Bearer " + key}, "X-Forwarded-Method": {"GET"}, "Origin": {origin},
			"X-Forwarded-Host": {"cdn.acme.com"}, "X-Forwarded-Uri": {"/mkt/scene?token=not-to-be-kept"},
		}
		response, err := v.requests.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response.StatusCode
	}
	const allowed, wrong = "http://localhost:3000", "https://copy.example:8443"
	eventually(t, "the first request", patience, func() error {
		if status := ask(key, allowed); status != http.StatusOK {
			return fmt.Errorf("%d", status)
		}
		return nil
	})
	for range 3 {
		if status := ask(key, wrong); status != http.StatusForbidden {
			t.Fatalf("another origin: %d", status)
		}
	}
	if status := ask(key[:len(key)-8]+"AAAAAAAA", wrong); status != http.StatusUnauthorized {
		t.Fatalf("a key that nobody has: %d", status)
	}
	refused := func(check func(string) bool) { // they are recorded with the next count of allowed requests
		t.Helper()
		eventually(t, "the refused keys to be recorded", patience, func() error {
			if status := ask(other, allowed); status != http.StatusOK {
				return fmt.Errorf("the other key: %d", status)
			}
			usage := &v1alpha1.GroupUsage{}
			if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "acme"}, usage); client.IgnoreNotFound(err) != nil {
				return err
			}
			texts := []string{}
			for _, is := range usage.Status.RefusedKeys {
				texts = append(texts, fmt.Sprint(is.APIKey.Name, " ", is.Code, " ", is.Requests, " ", is.Origin))
			}
			if all := strings.Join(texts, ", "); !check(all) {
				return fmt.Errorf("%q", all)
			}
			return nil
		})
	}
	refused(func(all string) bool { return all == "web origin_denied 3 https://copy.example" })
	shown := w.does("vera", "status", "web")
	for _, part := range []string{"Refused lately: 403 origin_denied", "may not be used from https://copy.example", "DomainAllowlist", "3 since"} {
		if !strings.Contains(shown, part) {
			t.Errorf("the plugin does not say %q:\n%s", part, shown)
		}
	}

	w.revoke("web")
	eventually(t, "the key to be refused", patience, func() error {
		if status := ask(key, allowed); status != http.StatusUnauthorized {
			return fmt.Errorf("%d", status)
		}
		return nil
	})
	refused(func(all string) bool {
		return strings.Contains(all, "web key_revoked ") && strings.Contains(all, "web origin_denied 3 https://copy.example")
	})
	if err := w.admin.Delete(w.ctx, w.awaitKey("web", "there", func(*v1alpha1.ApiKey) bool { return true })); err != nil {
		t.Fatal(err)
	}
	refused(func(all string) bool { return all == "" })
}
