package cluster_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

var _ = Describe("A desk", func() {
	It("reads no answer that is too large", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		var sent atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) {
			to.Header().Set("Content-Type", "application/json")
			_, _ = to.Write([]byte(`{"kind":"Group","apiVersion":"keyward.dev/v1alpha1","metadata":{"name":"`))
			for range 1024 {
				n, err := to.Write([]byte(strings.Repeat("a", 1<<20)))
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		}))
		DeferCleanup(server.Close)
		desk, err := cluster.New(person.New("jane", nil, &rest.Config{Host: server.URL}), cluster.Options{Now: w.Clock.Now})
		Expect(err).NotTo(HaveOccurred())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err = desk.Member(ctx, acme(w))
		runtime.ReadMemStats(&after)
		Expect(err).To(MatchError(ContainSubstring("too large")))
		Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<", 512<<20), "after %d bytes", sent.Load())
	})

	It("uses the credential of its person, and none of it is in an error", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		got := ""
		server := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Authorization") + " " + r.UserAgent()
			http.Error(to, "no", http.StatusTeapot)
		}))
		DeferCleanup(server.Close)
		desk, err := cluster.New(person.New("jane", nil, &rest.Config{Host: server.URL, BearerToken: "s3cret"}), cluster.Options{Now: w.Clock.Now})
		Expect(err).NotTo(HaveOccurred())
		_, _, err = desk.Member(ctx, acme(w))
		Expect(got).To(Equal("Bearer s3cret keyward-console"))
		Expect(err).To(HaveOccurred())
		Expect(fmt.Sprintf("%v %+v %#v", err, err, err)).NotTo(ContainSubstring("s3cret"))
	})

	It("shows what was used, and nothing of a month of which nothing is kept", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		viewer := join(ctx, w, role.Viewer)
		shown, err := viewer.Usage(ctx, acme(w), "")
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.Month).To(Equal(w.Clock.Now().UTC().Format("January 2006")))
		Expect(shown.Days).To(BeEmpty())
		for _, month := range []string{"2001-01", "soon"} {
			_, err = viewer.Usage(ctx, acme(w), month)
			Expect(err).To(MatchError(web.ErrNotFound))
		}
	})

	It("takes no cursor that the API server did not give", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll })
		viewer := join(ctx, w, role.Viewer)
		for _, text := range []string{`{"n":"` + w.Namespace + `","c":"x"}`, `{"c":"x"}`, `{"n":"` + w.Namespace + `","c":"../../secrets"}`} {
			_, err := viewer.Keys(ctx, acme(w), web.ListQuery{After: base64.RawURLEncoding.EncodeToString([]byte(text))})
			Expect(err).To(MatchError(web.ErrNotFound), text)
			_, err = viewer.Groups(ctx, web.ListQuery{After: base64.RawURLEncoding.EncodeToString([]byte(text))})
			Expect(err).To(MatchError(web.ErrNotFound), text)
		}
	})
})
