package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyrequest"
	"github.com/keyward-dev/keyward/internal/role"
)

// attempts tries operations of the table as somebody, each on objects of its own.
type attempts struct {
	w    *testenv.World
	made int
}

func (a *attempts) name() string {
	a.made++
	return fmt.Sprintf("try-%d", a.made)
}

func (a *attempts) namespace() client.InNamespace { return client.InNamespace(a.w.Namespace) }

func (a *attempts) newKey() *v1alpha1.ApiKey {
	return a.w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = a.name() })
}

func (a *attempts) newRequest() *v1alpha1.KeyRequest {
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: a.w.Namespace, Name: a.name(), CreationTimestamp: metav1.Unix(1e9, 0)}}
	request.Spec.GroupRef.Name, request.Spec.Projects, request.Spec.UseCase = "acme", []v1alpha1.ProjectName{"marketing"}, "To try"
	return request
}

func (a *attempts) newAllowlist() *v1alpha1.DomainAllowlist {
	return a.w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) { l.Name = a.name() })
}

func (a *attempts) newGroup(ctx context.Context) *v1alpha1.Group {
	return a.w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = a.name() })
}

// existing creates an object as the administrator of the cluster.
func existing[T client.Object](ctx context.Context, object T) T {
	GinkgoHelper()
	Expect(testenv.Admin.Create(ctx, object)).To(Succeed())
	return object
}

// attempt is one operation, done as whose client it is.
type attempt func(context.Context, client.Client) error

// list reads all objects of a kind.
func (a *attempts) list(into func() client.ObjectList) attempt {
	return func(ctx context.Context, c client.Client) error { return c.List(ctx, into(), a.namespace()) }
}

// changeKey changes a key that a preparation made ready.
func (a *attempts) changeKey(prepare, change func(*v1alpha1.ApiKeySpec)) attempt {
	return func(ctx context.Context, c client.Client) error {
		key := a.newKey()
		prepare(&key.Spec)
		existing(ctx, key)
		changed := key.DeepCopy()
		change(&changed.Spec)
		return c.Patch(ctx, changed, client.MergeFrom(key))
	}
}

// changeGroup changes a Group.
func (a *attempts) changeGroup(change func(*v1alpha1.GroupSpec)) attempt {
	return func(ctx context.Context, c client.Client) error {
		group := a.newGroup(ctx)
		changed := group.DeepCopy()
		change(&changed.Spec)
		return c.Patch(ctx, changed, client.MergeFrom(group))
	}
}

// all has an attempt of every operation.
func (a *attempts) all() map[role.Operation]attempt {
	asIs := func(*v1alpha1.ApiKeySpec) {}
	suspended := func(s *v1alpha1.ApiKeySpec) { s.Suspended = ptr.To(true) }
	return map[role.Operation]attempt{
		role.ReadGroups:   a.list(func() client.ObjectList { return &v1alpha1.GroupList{} }),
		role.ReadUsage:    a.list(func() client.ObjectList { return &v1alpha1.GroupUsageList{} }),
		role.ReadLog:      a.list(func() client.ObjectList { return &v1alpha1.GroupLogList{} }),
		role.ReadKeys:     a.list(func() client.ObjectList { return &v1alpha1.ApiKeyList{} }),
		role.ReadRequests: a.list(func() client.ObjectList { return &v1alpha1.KeyRequestList{} }),
		role.ReadReviews:  a.list(func() client.ObjectList { return &v1alpha1.KeyRequestReviewList{} }),
		role.RequestKey: func(ctx context.Context, c client.Client) error {
			request := a.newRequest()
			if err := c.Create(ctx, request); err != nil {
				return err
			}
			return testenv.Admin.Delete(ctx, request) // there are bounds
		},
		role.DeleteRequest: func(ctx context.Context, c client.Client) error {
			request := existing(ctx, a.newRequest())
			defer func() { _ = testenv.Admin.Delete(ctx, request) }()
			return c.Delete(ctx, request.DeepCopy())
		},
		role.DecideRequest: func(ctx context.Context, c client.Client) error {
			request := a.newRequest()
			request.UID = types.UID(request.Name)
			review := existing(ctx, keyrequest.NewReview(request, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: a.w.Namespace, Name: "acme", UID: "1"}}))
			changed := review.DeepCopy()
			changed.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApproved}
			return c.Patch(ctx, changed, client.MergeFrom(review))
		},
		role.ReadAllowlists: a.list(func() client.ObjectList { return &v1alpha1.DomainAllowlistList{} }),
		role.CreateAllowlist: func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, a.newAllowlist())
		},
		role.ChangeAllowlist: func(ctx context.Context, c client.Client) error {
			list := existing(ctx, a.newAllowlist())
			changed := list.DeepCopy()
			changed.Spec.Domains = append(changed.Spec.Domains, "shop.acme.example")
			return c.Patch(ctx, changed, client.MergeFrom(list))
		},
		role.DeleteAllowlist: func(ctx context.Context, c client.Client) error {
			return c.Delete(ctx, existing(ctx, a.newAllowlist()))
		},
		role.CreateKey: func(ctx context.Context, c client.Client) error { return c.Create(ctx, a.newKey()) },
		role.ChangeKey: a.changeKey(asIs, func(s *v1alpha1.ApiKeySpec) {
			s.Projects, s.Description = append(s.Projects, "product"), "both"
		}),
		role.RotateKey:  a.changeKey(asIs, func(s *v1alpha1.ApiKeySpec) { s.Rotation.Trigger = "now" }),
		role.SuspendKey: a.changeKey(asIs, suspended),
		role.ResumeKey:  a.changeKey(suspended, func(s *v1alpha1.ApiKeySpec) { s.Suspended = nil }),
		role.RevokeKey:  a.changeKey(asIs, func(s *v1alpha1.ApiKeySpec) { s.Revoked = ptr.To(true) }),
		role.DeleteKey: func(ctx context.Context, c client.Client) error {
			return c.Delete(ctx, existing(ctx, a.newKey()))
		},
		role.ChangeContent: a.changeGroup(func(s *v1alpha1.GroupSpec) {
			for _, name := range []string{"spec.projects", "spec.routes", "spec.capabilities"} {
				ownerFields[name](s)
			}
		}),
		role.ChangeKeyPolicy: a.changeGroup(ownerFields["spec.keyPolicy"]),
		role.ChangeContacts:  a.changeGroup(ownerFields["spec.contacts"]),
		role.EnableDefault:   a.changeGroup(func(s *v1alpha1.GroupSpec) { s.DefaultKey.Enabled = ptr.To(true) }),
		role.ChangeTier:      a.changeGroup(platformFields["spec.tier"]),
		role.ChangeLimits:    a.changeGroup(platformFields["spec.limits"]),
		role.ChangeState:     a.changeGroup(platformFields["spec.state"]),
		role.ChangeContext:   a.changeGroup(platformFields["spec.context"]),
		role.ChangeAccess:    a.changeGroup(platformFields["spec.allowedNamespaces"]),
		role.CreateGroup: func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: a.w.Namespace, Name: a.name()}})
		},
		role.DeleteGroup: func(ctx context.Context, c client.Client) error { return c.Delete(ctx, a.newGroup(ctx)) },
		role.ReadSecret: func(ctx context.Context, c client.Client) error {
			secret := existing(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: a.w.Namespace, Name: a.name()}})
			return c.Get(ctx, client.ObjectKeyFromObject(secret), &corev1.Secret{})
		},
	}
}

var _ = Describe("The roles of a Group", func() {
	var (
		w   *testenv.World
		try *attempts
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		try = &attempts{w: w}
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = ptr.To[int32](1000) })
	})

	It("are tried in every operation", func() {
		Expect(slices.Collect(maps.Keys(try.all()))).To(ConsistOf(role.Operations()))
	})

	It("allow what the table says, and nothing else", func(ctx SpecContext) {
		for operation, do := range try.all() { // what is refused below is not refused because it is wrong
			Expect(do(ctx, testenv.Admin)).To(Succeed(), "administrator: %s", operation)
		}
		for _, r := range role.All() {
			user := w.Namespace + ":role-" + string(r)
			bind(ctx, w, user, role.ClusterRoles(r)...)
			person, _ := testenv.AsUser(user)
			for operation, do := range try.all() { // the API server's authorizer sees the bindings after a while
				if role.May(r, operation) {
					Eventually(do).WithArguments(ctx, person).Should(Succeed(), "%s: %s", r, operation)
				}
			}
			for operation, do := range try.all() { // each binding was used above
				if !role.May(r, operation) {
					Expect(do(ctx, person)).To(MatchError(Or(ContainSubstring("forbidden"), ContainSubstring(": Forbidden"))), "%s: %s", r, operation)
				}
			}
		}
	})

	It("allow nothing in other namespaces, nor to who has none", func(ctx SpecContext) {
		user := w.Namespace + ":role-owner"
		bind(ctx, w, user, role.ClusterRoles(role.Owner)...)
		owner, _ := testenv.AsUser(user)
		Eventually(func() error { return try.all()[role.CreateKey](ctx, owner) }).Should(Succeed())

		elsewhere := testenv.NewWorld(ctx)
		elsewhere.CreateGroup(ctx)
		stranger, _ := testenv.AsUser(w.Namespace + ":stranger")
		for operation, do := range (&attempts{w: elsewhere}).all() {
			Expect(do(ctx, owner)).To(MatchError(ContainSubstring("forbidden")), "owner elsewhere: %s", operation)
		}
		for operation, do := range try.all() {
			Expect(do(ctx, stranger)).To(MatchError(ContainSubstring("forbidden")), "stranger: %s", operation)
		}
	})
})
