package cluster_test

import (
	"context"
	"net/http"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// watches sends from which version on a watch is.
type watches struct {
	http.RoundTripper

	from chan<- string
}

// RoundTrip implements http.RoundTripper.
func (w watches) RoundTrip(r *http.Request) (*http.Response, error) {
	if query := r.URL.Query(); query.Get("watch") != "" {
		w.from <- query.Get("resourceVersion")
	}
	return w.RoundTripper.RoundTrip(r)
}

var _ = Describe("Who follows a key", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "beside" })
	})
	stored := func(ctx context.Context) *v1alpha1.ApiKey {
		GinkgoHelper()
		key := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
		return key
	}

	It("gets the version of its page, and of each later one", func(ctx SpecContext) {
		viewer := join(ctx, w, role.Viewer)
		following, stop := context.WithCancel(ctx)
		versions, err := viewer.Follow(following, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		shown, err := viewer.Key(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.Live).To(Equal(webOf(w).Of("live")))
		Eventually(versions).Should(Receive(Equal(shown.Version)))

		for _, description := range []string{"once", "twice", "three times"} { // nobody receives between them
			testenv.Edit(ctx, stored(ctx), func(k *v1alpha1.ApiKey) { k.Spec.Description = description })
		}
		Eventually(versions).Should(Receive(Equal(stored(ctx).ResourceVersion)), "the latest is not lost")

		other := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, w.Request("beside").NamespacedName, other)).To(Succeed())
		testenv.Edit(ctx, other, func(k *v1alpha1.ApiKey) { k.Spec.Description = "of another key" })
		last := stored(ctx)
		testenv.Edit(ctx, last, func(k *v1alpha1.ApiKey) { k.Spec.Description = "last" })
		Eventually(versions).Should(Receive(Equal(stored(ctx).ResourceVersion)), "others are not followed")

		stop()
		Eventually(versions).Should(BeClosed())
	})

	It("watches from now on, also if the key has not changed for long", func(ctx SpecContext) {
		join(ctx, w, role.Viewer)
		other := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, w.Request("beside").NamespacedName, other)).To(Succeed())
		testenv.Edit(ctx, other, func(k *v1alpha1.ApiKey) { k.Spec.Description = "later" })
		Expect(testenv.Admin.Get(ctx, w.Request("beside").NamespacedName, other)).To(Succeed())

		from := make(chan string, 1)
		config := rest.CopyConfig(testenv.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: w.Namespace + ":" + string(role.Viewer), Groups: []string{"system:authenticated"}}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return watches{next, from} })
		viewer, err := cluster.New(person.New("viewer", nil, config), cluster.Options{Now: w.Clock.Now})
		Expect(err).NotTo(HaveOccurred())
		versions, err := viewer.Follow(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		key := stored(ctx)
		Eventually(versions).Should(Receive(Equal(key.ResourceVersion)))
		at := func(text string) int {
			n, err := strconv.Atoi(text)
			Expect(err).NotTo(HaveOccurred())
			return n
		}
		Expect(at(<-from)).To(BeNumerically(">=", at(other.ResourceVersion)), "the key is of %s", key.ResourceVersion)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Description = "changed" })
		Eventually(versions).Should(Receive(Equal(stored(ctx).ResourceVersion)))
	})

	It("may read it, and is of its Group", func(ctx SpecContext) {
		stranger := deskOf(w, w.Namespace+":stranger")
		_, err := stranger.Follow(ctx, webOf(w))
		Expect(err).To(MatchError(web.ErrNotFound))

		viewer := join(ctx, w, role.Viewer)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = "other" })
		_, err = viewer.Follow(ctx, place.Key{Group: place.Group{Namespace: w.Namespace, Name: "other"}, Namespace: w.Namespace, Name: "web"})
		Expect(err).To(MatchError(web.ErrNotFound))
		_, err = viewer.Follow(ctx, place.Key{Group: acme(w), Namespace: w.Namespace, Name: "nothing"})
		Expect(err).To(MatchError(web.ErrNotFound))
	})

	It("has to be allowed to watch", func(ctx SpecContext) {
		user := w.Namespace + ":reader"
		bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{"keyward.dev"}, Resources: []string{"groups", "apikeys"}, Verbs: []string{"get", "list"}})
		reader := deskOf(w, user)
		Eventually(func() error { _, err := reader.Key(ctx, webOf(w)); return err }).Should(Succeed())
		_, err := reader.Follow(ctx, webOf(w))
		Expect(err).To(MatchError(web.ErrNotFound)) // the page stays as it is
	})
})
