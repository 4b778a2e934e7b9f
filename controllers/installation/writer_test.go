package installation_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/installation"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/tier"
)

var _ = Describe("The writer of the Installation", func() {
	var (
		w      *testenv.World
		clock  *clocktesting.FakeClock
		facts  *installation.Facts
		write  *installation.Writer
		opened chan struct{}
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		clock, opened = clocktesting.NewFakeClock(now), make(chan struct{})
		facts = &installation.Facts{
			Version: "v0.1.0", Leader: "keyward-manager-0", Tiers: tier.Builtin(), Servers: []installation.Server{server("a"), server("b", gone)},
			Sinks: []installation.Sink{sink("siem")},
		}
		write = &installation.Writer{
			Reader: testenv.Admin, Client: testenv.Admin, Namespace: w.Namespace, Clock: clock,
			Facts: func(time.Time) *installation.Facts { return facts }, Opened: opened,
		}
	})
	read := func(ctx context.Context) *v1alpha1.Installation {
		GinkgoHelper()
		found := &v1alpha1.Installation{}
		Expect(testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: v1alpha1.InstallationName}, found)).To(Succeed())
		return found
	}

	It("creates it, and writes nothing while nothing changes", func(ctx SpecContext) {
		Expect(write.Look(ctx)).To(BeTrue())
		first := read(ctx)
		Expect(first.Status.Version).To(Equal("v0.1.0"))
		Expect(first.Status.Tiers).To(HaveLen(6))
		Expect(first.Status.Validators.Servers[0].Name).To(Equal("b"))
		Expect(meta.IsStatusConditionFalse(first.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())

		clock.Step(9 * time.Minute)
		Expect(write.Look(ctx)).To(BeFalse())
		Expect(read(ctx).ResourceVersion).To(Equal(first.ResourceVersion))

		facts.Servers[1] = server("b")
		Expect(write.Look(ctx)).To(BeTrue())
		Expect(meta.IsStatusConditionTrue(read(ctx).Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
		Expect(read(ctx).Status.UpdatedAt.Time).To(BeTemporally("==", now.Add(9*time.Minute)))
	})

	It("creates it again after it was deleted, and replaces what somebody else has written", func(ctx SpecContext) {
		Expect(write.Look(ctx)).To(BeTrue())
		Expect(testenv.Admin.Delete(ctx, read(ctx))).To(Succeed())
		Expect(write.Look(ctx)).To(BeTrue())
		testenv.Edit(ctx, read(ctx), func(i *v1alpha1.Installation) { i.Labels["of"] = "somebody" })
		changed := read(ctx)
		changed.Status.Leader = "somebody"
		Expect(testenv.Admin.Status().Update(ctx, changed)).To(Succeed())
		Expect(write.Look(ctx)).To(BeTrue())
		Expect(read(ctx).Status.Leader).To(Equal("keyward-manager-0"))
		Expect(read(ctx).Labels).To(HaveKey("of"))
	})

	It("is accepted with as much as it may have", func(ctx SpecContext) {
		long := strings.Repeat("\"", 256)
		for range 10_000 {
			facts.Servers = append(facts.Servers, server(strings.Repeat("x", 253), func(s *installation.Server) {
				s.Identity, s.Version, s.BehindSince = strings.Repeat("é", 400), strings.Repeat("v", 64), now
				s.Rejected, s.RejectionReason = 1, long
			}))
		}
		for len(facts.Sinks) < 32 {
			facts.Sinks = append(facts.Sinks, sink(strings.Repeat("s", 40), failing("tls", strings.Repeat(long, 8))))
		}
		Expect(write.Look(ctx)).To(BeTrue())
		Expect(*read(ctx).Status.Validators.Connected).To(BeEquivalentTo(10_001))
	})

	It("looks once in 30 seconds, while it leads", func(ctx SpecContext) {
		looks := make(chan struct{}, 10)
		write.Facts = func(time.Time) *installation.Facts { looks <- struct{}{}; return facts }
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- write.Start(running) }()
		Expect(write.NeedLeaderElection()).To(BeTrue())
		Consistently(clock.HasWaiters, 50*time.Millisecond).Should(BeFalse(), "servers cannot connect yet")
		close(opened)
		Eventually(looks).Should(Receive(), "there is none yet")
		Eventually(func() error {
			return testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: v1alpha1.InstallationName}, &v1alpha1.Installation{})
		}).Should(Succeed())
		stop()
		Eventually(ended).Should(Receive(BeNil()))

		running, stop = context.WithCancel(ctx) // another one begins to lead
		clock = clocktesting.NewFakeClock(now)
		write.Clock = clock
		go func() { ended <- write.Start(running) }()
		for range 2 {
			Eventually(clock.HasWaiters).Should(BeTrue())
			clock.Step(installation.Interval - time.Second)
			Consistently(looks, 50*time.Millisecond).ShouldNot(Receive())
			clock.Step(time.Second)
			Eventually(looks).Should(Receive())
		}
		stop()
		Eventually(ended).Should(Receive(BeNil()))
	})

	It("needs no more than the Role of the manager in its own namespace allows", func(ctx SpecContext) {
		file, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
		Expect(err).NotTo(HaveOccurred())
		role := &rbacv1.Role{}
		for document := range strings.SplitSeq(string(file), "\n---\n") {
			if strings.Contains(document, "\nkind: Role\n") {
				Expect(yaml.Unmarshal([]byte(document), role)).To(Succeed())
			}
		}
		Expect(role.Rules).NotTo(BeEmpty())
		role.Namespace = w.Namespace
		Expect(testenv.Admin.Create(ctx, role)).To(Succeed())
		user := w.Namespace + ":manager"
		Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "manager"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})).To(Succeed())
		write.Client, _ = testenv.AsUser(user)
		write.Reader = write.Client
		Eventually(func() (bool, error) { return write.Look(ctx) }).Should(BeTrue()) // the authorizer sees the binding after a while
		clock.Step(time.Minute)
		facts.Leader = "keyward-manager-1"
		Expect(write.Look(ctx)).To(BeTrue())
	})
})

var _ = Describe("What the Hub knows of servers", func() {
	It("is their version, their Groups, what they lack and what they reject", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		Eventually(testenv.Hub.Groups).Should(ContainElement(w.Namespace + "/acme"))
		v := testenv.Hub.Subscribe(publish.Subscriber{
			Instance: w.Namespace, Incarnation: "one", Owner: "edge/validator", Version: "v0.1.0", Selection: w.Selection(),
		})
		DeferCleanup(func() { v.Close(true) })
		of := func() publish.Server {
			for _, s := range testenv.Hub.Servers() {
				if s.Instance == w.Namespace {
					return s
				}
			}
			return publish.Server{}
		}
		lacking := of()
		Expect(lacking.BehindSince).To(Equal(v.Session().Since()))
		Expect(lacking.Info).To(Equal(session.Info{Owner: "edge/validator", Version: "v0.1.0"}))
		testenv.Validator{Subscription: v}.CatchUp()
		Eventually(func() time.Time { testenv.Validator{Subscription: v}.CatchUp(); return of().BehindSince }).Should(BeZero())
		Expect(of().Groups).To(Equal(1))
		Expect(of().Rejected).To(BeZero())
		v.Close(true)
		Expect(of().Session).To(BeNil())
	})
})
