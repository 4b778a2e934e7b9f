package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestBytes reads content through a reverse proxy until the bytes of the month are used up: the status counts what the
// client received, and has the condition for it.
func TestBytes(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{})
	content := httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		_, _ = writer.Write(bytes.Repeat([]byte("x"), rand.IntN(50_000)))
	}))
	t.Cleanup(content.Close)
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}}}
	group.Spec.Limits.BytesPerMonth = ptr.To(resource.MustParse("1M"))
	w.create(group)
	v := w.startValidator(validatorSetup{instance: "proxy", upstream: content.URL, flags: []string{"--usage-interval=1s"}})
	v.awaitReady()
	key := w.mint("reader")

	received, requests := int64(0), int64(0)
	eventually(t, "the bytes to be used up", patience, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.listens.Proxy.String()+"/mkt/scene", http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set("X-Api-Key", key)
		response, err := v.requests.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode == http.StatusPaymentRequired {
			return err
		}
		received += int64(len(body))
		requests++
		return fmt.Errorf("%s, after %d bytes", response.Status, received)
	})
	eventually(t, "the status to count them", patience, func() error {
		if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "acme"}, group); err != nil {
			return err
		}
		u := w.usage("acme")
		if ptr.Deref(u.Bytes, 0) != received || ptr.Deref(u.Requests, 0) != requests ||
			!meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionQuotaExceeded) {
			return fmt.Errorf("of %d bytes in %d requests it says %+v, %+v", received, requests, u, group.Status.Conditions)
		}
		return nil
	})
	t.Logf("%d bytes in %d requests", received, requests)
}
