package syncserver_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/syncserver"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/test/rogue"
)

var _ = Describe("A rogue at the sync port", func() {
	var (
		w                      *testenv.World
		tokens, rights         atomic.Int64 // reviews that the API server was asked for
		tracker                *usage.Tracker
		clk                    *clocktesting.FakeClock
		port                   *rogue.Client // without a token
		counting               client.WithWatch
		serviceAccount, binder = "validator", 0
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		Eventually(testenv.Hub.Groups).Should(ContainElement(w.Namespace + "/acme"))
		tokens.Store(0)
		rights.Store(0)
		tracker, clk = usage.NewTracker(clock.RealClock{}, testenv.Sessions), clocktesting.NewFakeClock(time.Now())
		counting = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				switch object.(type) {
				case *authenticationv1.TokenReview:
					tokens.Add(1)
				case *authorizationv1.SubjectAccessReview:
					rights.Add(1)
				}
				return c.Create(ctx, object, options...)
			},
		})
		for _, name := range []string{serviceAccount, "stranger"} {
			Expect(testenv.Admin.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace,
				Name: name}})).To(Succeed())
		}
		port = servePort(func(server *syncserver.Server) {
			server.Client, server.Usage, server.Clock, server.Streams = counting, tracker, clk, 40
		})
	})

	// as returns the rogue with the token of a ServiceAccount and, if one is named, a Pod.
	as := func(ctx context.Context, serviceAccount, instance, pod string) *rogue.Client {
		GinkgoHelper()
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{v1alpha1.SyncAudience}}}
		if pod != "" {
			request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod}
		}
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: serviceAccount}}
		Expect(testenv.Admin.SubResource("token").Create(ctx, sa, request)).To(Succeed())
		c := *port
		c.Token, c.Instance = request.Status.Token, instance
		return &c
	}
	// allow lets an account validate the named Groups, and waits until that is in force.
	allow := func(ctx context.Context, serviceAccount string, groups ...string) *rbacv1.RoleBinding {
		GinkgoHelper()
		binder++
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: fmt.Sprint("validate-", binder)}}
		role.Rules = []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"groups"}, Verbs: []string{v1alpha1.VerbValidate},
			ResourceNames: groups,
		}}
		Expect(testenv.Admin.Create(ctx, role)).To(Succeed())
		binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: role.Name}}
		binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}
		binding.Subjects = []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.Namespace, Name: serviceAccount}}
		Expect(testenv.Admin.Create(ctx, binding)).To(Succeed())
		Eventually(func() bool { return may(ctx, w, serviceAccount, groups[0]) }).Should(BeTrue())
		return binding
	}
	open := func(ctx context.Context, c *rogue.Client) *rogue.Stream {
		GinkgoHelper()
		ctx, cancel := context.WithTimeout(ctx, time.Minute) // a test that waits in vain fails
		DeferCleanup(cancel)
		stream, err := c.Open(ctx, c.Hello())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(stream.Kill)
		return stream
	}
	outcome := func(ctx context.Context, c *rogue.Client, hello *syncv1.Hello) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		stream, err := c.Open(ctx, hello)
		if err != nil {
			return err
		}
		defer stream.Kill()
		return stream.CatchUp()
	}

	It("is refused when it may validate nothing, and causes few reviews no matter how often it connects", func(ctx SpecContext) {
		stranger := as(ctx, "stranger", "rogue", "")
		Expect(status.Code(outcome(ctx, stranger, stranger.Hello()))).To(Equal(codes.PermissionDenied))
		groups := int64(len(testenv.Hub.Groups()))
		Expect(rights.Load()).To(BeNumerically("<=", 2*groups+2), "at most everything, each namespace, each Group")
		first := rights.Load()
		for range 30 {
			Expect(status.Code(outcome(ctx, stranger, stranger.Hello()))).To(Equal(codes.PermissionDenied))
		}
		Expect(rights.Load()).To(Equal(first))
		Expect(tokens.Load()).To(BeNumerically("<=", 2))
	})

	It("is not counted, waited for or named where it may validate nothing", func(ctx SpecContext) {
		allow(ctx, "stranger", "hidden")
		Expect(testenv.Admin.Create(ctx, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace,
			Name: "hidden"}})).To(Succeed())
		Eventually(testenv.Hub.Groups).Should(ContainElement(w.Namespace + "/hidden"))
		opened := open(ctx, as(ctx, "stranger", "rogue", "")) // it reads nothing
		Expect(opened.Uses(1)).To(Succeed())
		before := time.Now()
		minted := mintedWithin(ctx, w, 30*time.Second)
		AddReportEntry("delivered after", time.Since(before).String())
		Expect(minted.Status.Enforcement.WaitingFor).To(BeEmpty())
		Expect(minted.Status.Enforcement.Disconnected).To(BeEmpty())
		Expect(*minted.Status.Enforcement.Servers).To(BeZero())
		opened.Kill()
		Consistently(func() int { return tracker.Of(w.Namespace+"/acme", nil, &before).Servers }, "300ms").Should(BeZero())
	})

	It("cannot fill the memory with reports, and cannot report for other Groups", func(ctx SpecContext) {
		allow(ctx, "stranger", "hidden")
		Expect(testenv.Admin.Create(ctx, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace,
			Name: "hidden"}})).To(Succeed())
		Eventually(testenv.Hub.Groups).Should(ContainElement(w.Namespace + "/hidden"))
		stream := open(ctx, as(ctx, "stranger", "rogue", ""))
		Expect(stream.CatchUp()).To(Succeed())
		for range 25 {
			Expect(stream.Uses(4000)).To(Succeed())
		}
		key := mintedWithin(ctx, w, 30*time.Second)
		others := w.VersionUses(key, 0)
		Expect(stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Versions{Versions: others}})).To(Succeed())
		Expect(stream.Ack(1 << 50)).To(Succeed()) // this ends the stream, after everything before it was received
		Eventually(func() codes.Code { return status.Code(stream.CatchUp()) }).Should(Equal(codes.InvalidArgument))
		Expect(tracker.Due(time.Minute)).To(BeEmpty())
	})

	It("is cut off when it acknowledges what it was not sent", func(ctx SpecContext) {
		allow(ctx, serviceAccount, "acme")
		stream := open(ctx, as(ctx, serviceAccount, "rogue", ""))
		Expect(stream.CatchUp()).To(Succeed())
		Expect(stream.Ack(1 << 50)).To(Succeed())
		Expect(status.Code(stream.CatchUp())).To(Equal(codes.InvalidArgument))
	})

	DescribeTable("is refused with a Hello that", func(ctx SpecContext, hello func() *syncv1.Hello, code codes.Code, mention string) {
		allow(ctx, serviceAccount, "acme")
		err := outcome(ctx, as(ctx, serviceAccount, "rogue", ""), hello())
		Expect(status.Code(err)).To(BeElementOf(code, codes.Internal), "%v", err) // the latter where it is not even decoded
		Expect(err.Error()).To(ContainSubstring(mention))
	},
		Entry("is larger than anything", func() *syncv1.Hello { return &syncv1.Hello{Instance: strings.Repeat("x", 8<<20)} },
			codes.ResourceExhausted, "larger than max"),
		Entry("knows very many groups", func() *syncv1.Hello {
			return &syncv1.Hello{Instance: "rogue", Known: make([]*syncv1.KnownGroup, 1_000_000)}
		}, codes.InvalidArgument, "hello.known"),
		Entry("selects very many groups", func() *syncv1.Hello {
			return &syncv1.Hello{Instance: "rogue", Selector: &syncv1.GroupSelector{Groups: make([]string, 100_000)}}
		}, codes.InvalidArgument, "hello.selector.groups"),
		Entry("knows a group of a long name", func() *syncv1.Hello {
			return &syncv1.Hello{Instance: "rogue", Incarnation: "one", Known: []*syncv1.KnownGroup{{Group: strings.Repeat("x", 10_000)}}}
		}, codes.InvalidArgument, "known"),
		Entry("has control characters in its name", func() *syncv1.Hello { return &syncv1.Hello{Instance: "v\x1b[31m\n"} },
			codes.InvalidArgument, "instance"),
		Entry("has spaces in its name", func() *syncv1.Hello { return &syncv1.Hello{Instance: "v (tenants/other)"} },
			codes.InvalidArgument, "instance"),
		Entry("has a long name", func() *syncv1.Hello { return &syncv1.Hello{Instance: strings.Repeat("x", 254)} },
			codes.InvalidArgument, "instance"),
	)

	It("causes few TokenReviews with invalid tokens, and others behind its address can still connect", func(ctx SpecContext) {
		allow(ctx, serviceAccount, "acme")
		running, stop := context.WithCancel(ctx)
		defer stop()
		fleet := as(ctx, serviceAccount, "fleet", "")
		Expect(outcome(ctx, fleet, fleet.Hello())).To(Succeed())
		before := tokens.Load()
		Expect(port.Junk(running, 600)).To(Equal(600))
		Expect(tokens.Load()-before).To(BeNumerically("<=", 100), "TokenReviews of 600 attempts")
		opened, err := fleet.Crowd(running, 30)
		Expect(err).NotTo(HaveOccurred())
		Expect(opened).To(Equal(30))
	})

	It("has a bounded number of streams for its account", func(ctx SpecContext) {
		allow(ctx, serviceAccount, "acme")
		running, stop := context.WithCancel(ctx)
		opened, err := as(ctx, serviceAccount, "crowd", "").Crowd(running, 100)
		Expect(opened).To(Equal(40))
		Expect(status.Code(err)).To(Equal(codes.ResourceExhausted))
		stop()
		Eventually(func() error { c := as(ctx, serviceAccount, "later", ""); return outcome(ctx, c, c.Hello()) }).Should(Succeed())
	})

	It("loses a Group within a minute after its right is withdrawn, and keeps others", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace,
			Name: "other"}})).To(Succeed())
		Eventually(testenv.Hub.Groups).Should(ContainElement(w.Namespace + "/other"))
		allow(ctx, serviceAccount, "other")
		binding := allow(ctx, serviceAccount, "acme")
		for _, selector := range [][]string{nil, {w.Namespace + "/acme", w.Namespace + "/other"}} {
			c := as(ctx, serviceAccount, "validator", "")
			c.Groups = selector
			stream := open(ctx, c)
			Expect(stream.CatchUp()).To(Succeed())
			Expect(testenv.Admin.Delete(ctx, binding)).To(Succeed())
			Eventually(func() bool { return may(ctx, w, serviceAccount, "acme") }).Should(BeFalse())
			Eventually(clk.Waiters).Should(BeNumerically(">=", 3), "age, heartbeat and review of the stream")
			clk.Step(time.Minute)
			var taken []string
			Eventually(func(g Gomega) {
				response, err := stream.Recv()
				g.Expect(err).NotTo(HaveOccurred())
				taken = append(taken, response.GetUpdate().GetDeletedGroups()...)
				g.Expect(taken).NotTo(BeEmpty())
			}).Should(Succeed())
			Expect(taken).To(Equal([]string{w.Namespace + "/acme"}))
			key := mintedWithin(ctx, w, 30*time.Second)
			Expect(*key.Status.Enforcement.Servers).To(BeZero())
			Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
			waitUntilDeleted(ctx, w, key)
			stream.Kill()
			binding = allow(ctx, serviceAccount, "acme")
			clk.Step(time.Minute) // refusals are forgotten, too
		}
	})

	It("is a different server than one of the same name in another Pod", func(ctx SpecContext) {
		allow(ctx, serviceAccount, "acme")
		for _, name := range []string{"one", "two"} {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
			pod.Spec.ServiceAccountName = serviceAccount
			pod.Spec.Containers = []corev1.Container{{Name: "validator", Image: "validator"}}
			Expect(testenv.Admin.Create(ctx, pod)).To(Succeed())
		}
		for _, pod := range []string{"one", "two"} {
			Expect(open(ctx, as(ctx, serviceAccount, "validator-0", pod)).CatchUp()).To(Succeed())
		}
		key := w.CreateKey(ctx)
		Eventually(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, key.Name)
			g.Expect(client.IgnoreAlreadyExists(err)).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
			g.Expect(key.Status.Versions).NotTo(BeEmpty())
			e := testenv.Hub.Enforcement(publish.Subject{Ref: publish.KeyRef(publish.KeyID(key.UID)), Group: w.Namespace + "/acme"},
				publish.RecordID(publish.KeyRecord(key, grant.Whole(key))))
			g.Expect(e.Waiting).To(Equal([]string{
				"validator-0 (" + w.Namespace + "/validator/one)", "validator-0 (" + w.Namespace + "/validator/two)",
			}))
		}).Should(Succeed())
	})
})

// may reports whether an account may validate a Group, according to the API server.
func may(ctx context.Context, w *testenv.World, serviceAccount, group string) bool {
	GinkgoHelper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + w.Namespace + ":" + serviceAccount,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.GroupVersion.Group, Resource: "groups", Verb: v1alpha1.VerbValidate, Namespace: w.Namespace, Name: group,
		},
	}}
	Expect(testenv.Admin.Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}

// mintedWithin creates the key, and expects it to be delivered within that time.
func mintedWithin(ctx context.Context, w *testenv.World, most time.Duration) *v1alpha1.ApiKey {
	GinkgoHelper()
	begin := time.Now()
	w.CreateKey(ctx)
	key := w.ReconcileUntil(ctx, "web", testenv.Ready)
	Expect(time.Since(begin)).To(BeNumerically("<", most))
	return key
}

// waitUntilDeleted reconciles the key, which is being deleted, until it no longer exists.
func waitUntilDeleted(ctx context.Context, w *testenv.World, key *v1alpha1.ApiKey) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		_, err := w.ReconcileKey(ctx, key.Name)
		g.Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
		g.Expect(client.IgnoreNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), &v1alpha1.ApiKey{}))).To(Succeed())
		g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), &v1alpha1.ApiKey{})).NotTo(Succeed())
	}).Should(Succeed())
}
