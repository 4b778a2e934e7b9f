package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// attempts tries what a desk does, each on objects of its own, and returns what came of it.
type attempts struct {
	w    *testenv.World
	made int
}

func (a *attempts) name() string {
	a.made++
	return fmt.Sprintf("try-%d", a.made)
}

type attempt func(context.Context, web.Desk) error

func only[T any](_ T, err error) error { return err }

// key makes a key, and does something with it that is to have an effect.
func (a *attempts) key(prepare func(*v1alpha1.ApiKey), page, do func(context.Context, web.Desk, place.Key) error,
	done func(*v1alpha1.ApiKey) bool) attempt {
	return func(ctx context.Context, d web.Desk) error {
		key := a.w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = a.name() })
		prepare(key)
		Expect(testenv.Admin.Create(ctx, key)).To(Succeed())
		of := place.Key{Group: acme(a.w), Namespace: key.Namespace, Name: key.Name}
		shown, err := page(ctx, d, of), do(ctx, d, of)
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		Expect(done(key)).To(Equal(err == nil), "%v has the effect: %+v", err, key.Spec)
		if (shown == nil) != (err == nil) {
			Fail(fmt.Sprintf("%s: its page: %s; what it does: %s", of.Name, fmt.Sprint(shown), fmt.Sprint(err)))
		}
		return err
	}
}

// all has an attempt of every operation of the table that a Desk has.
func (a *attempts) all() map[role.Operation]attempt {
	asIs := func(*v1alpha1.ApiKey) {}
	suspended := func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) }
	isSuspended := func(k *v1alpha1.ApiKey) bool { return ptr.Deref(k.Spec.Suspended, false) }
	group := acme(a.w)
	return map[role.Operation]attempt{
		role.ReadGroups: func(ctx context.Context, d web.Desk) error {
			found, err := d.Groups(ctx, web.ListQuery{Search: a.w.Namespace + "/"})
			if err == nil && len(found.Groups) == 0 {
				err = web.ErrNotFound
			}
			return err
		},
		role.ReadUsage: func(ctx context.Context, d web.Desk) error { return only(d.Usage(ctx, group, "")) },
		role.ReadLog:   func(ctx context.Context, d web.Desk) error { return only(d.Log(ctx, group, web.LogQuery{})) },
		role.ReadKeys: func(ctx context.Context, d web.Desk) error {
			if err := only(d.Keys(ctx, group, web.ListQuery{})); err != nil {
				return err
			}
			return only(d.Key(ctx, webOf(a.w)))
		},
		role.ReadAllowlists: func(ctx context.Context, d web.Desk) error {
			if err := only(d.Allowlists(ctx, group)); err != nil {
				return err
			}
			return only(d.Allowlist(ctx, group, a.w.Namespace, "web", &web.EnteredAllowlist{Site: "https://www.acme.example"}))
		},
		role.ChangeAllowlist: func(ctx context.Context, d web.Desk) error {
			return d.SaveAllowlist(ctx, group, a.w.Namespace, "web", web.EnteredAllowlist{Domains: []string{a.name() + ".acme.example"}})
		},
		role.CreateKey: func(ctx context.Context, d web.Desk) error {
			if err := only(d.NewKey(ctx, group, nil, false)); err != nil {
				return err
			}
			return only(d.CreateKey(ctx, group, filled(a.name())))
		},
		role.RotateKey: a.key(asIs, func(ctx context.Context, d web.Desk, of place.Key) error { return only(d.Rotate(ctx, of)) },
			func(ctx context.Context, d web.Desk, of place.Key) error { return d.DoRotate(ctx, of, "1h") },
			func(k *v1alpha1.ApiKey) bool { return k.Annotations[v1alpha1.AnnotationRotateRequestedAt] != "" }),
		role.SuspendKey: a.key(asIs, func(ctx context.Context, d web.Desk, of place.Key) error { return only(d.Suspend(ctx, of)) },
			func(ctx context.Context, d web.Desk, of place.Key) error { return d.DoSuspend(ctx, of) }, isSuspended),
		role.ResumeKey: a.key(suspended, func(ctx context.Context, d web.Desk, of place.Key) error { return only(d.Resume(ctx, of)) },
			func(ctx context.Context, d web.Desk, of place.Key) error { return d.DoResume(ctx, of) },
			func(k *v1alpha1.ApiKey) bool { return !isSuspended(k) }),
		role.RevokeKey: a.key(asIs, func(ctx context.Context, d web.Desk, of place.Key) error { return only(d.Revoke(ctx, of)) },
			func(ctx context.Context, d web.Desk, of place.Key) error { return d.DoRevoke(ctx, of) },
			func(k *v1alpha1.ApiKey) bool { return ptr.Deref(k.Spec.Revoked, false) }),
		role.ReadRequests: func(ctx context.Context, d web.Desk) error {
			name := a.name()
			asked(ctx, a.w, name)
			listed, err := d.OwnRequests(ctx, web.ListQuery{Search: a.w.Namespace + "/" + name})
			Expect(err).NotTo(HaveOccurred())
			err = only(d.OwnRequest(ctx, place.Request{Namespace: a.w.Namespace, Name: name}))
			Expect(len(listed.Requests) == 1).To(Equal(err == nil), "%v: %+v", err, listed)
			return err
		},
		role.RequestKey: func(ctx context.Context, d web.Desk) error {
			entered, name := web.EnteredRequest{Namespace: a.w.Namespace, Group: "acme"}, a.name()
			shown, yaml := only(d.NewRequest(ctx, entered, false)), only(d.AskYAML(ctx, entered))
			entered.Name, entered.Projects, entered.Permissions, entered.UseCase = name, []string{"marketing"}, []string{"read"}, "The shop"
			err := only(d.CreateRequest(ctx, entered))
			Expect(isAsked(name)(ctx, a.w, "")).To(Equal(err == nil), "%v", err)
			Expect([]bool{shown == nil, yaml == nil}).To(HaveEach(err == nil), "%v, %v and %v", shown, yaml, err)
			return err
		},
		role.DeleteRequest: func(ctx context.Context, d web.Desk) error {
			name := a.name()
			asked(ctx, a.w, name)
			of := place.Request{Namespace: a.w.Namespace, Name: name}
			shown, err := only(d.Deletable(ctx, of)), d.DeleteRequest(ctx, of, "")
			Expect(isAsked(name)(ctx, a.w, "")).To(Equal(err != nil), "%v", err)
			Expect(shown == nil).To(Equal(err == nil), "%v and %v", shown, err)
			return err
		},
		role.ReadReviews: func(ctx context.Context, d web.Desk) error {
			review := reviewed(ctx, a.w, a.name())
			one, all := only(d.Request(ctx, group, review.Name)), only(d.Requests(ctx, group, ""))
			sees, err := d.SeesRequests(ctx, group)
			Expect(err).NotTo(HaveOccurred())
			Expect(sees).To(Equal(all == nil))
			Expect(one == nil).To(Equal(all == nil), "%v and %v", one, all)
			return all
		},
		role.DecideRequest: func(ctx context.Context, d web.Desk) error {
			review := reviewed(ctx, a.w, a.name())
			err := d.DecideRequest(ctx, group, review.Name, web.Decision{Verdict: "Refused", Reason: "Not now."})
			Expect(decisionIs(v1alpha1.VerdictRefused)(ctx, a.w, review.Name)).To(Equal(err == nil), "%v", err)
			return err
		},
		role.ReadSecret: func(ctx context.Context, d web.Desk) error {
			name := a.name()
			a.w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.Secret.Reveal = name, v1alpha1.RevealOnce })
			return only(d.Claim(ctx, place.Key{Group: group, Namespace: a.w.Namespace, Name: name}))
		},
	}
}

// filled is a form for a new key.
func filled(name string) web.EnteredKey {
	return web.EnteredKey{
		Name: name, Description: "The web shop.", Projects: []string{"marketing"}, Permissions: []string{"read"}, Clients: []string{"Any"},
		Lifetime: "30d", Reveal: "Mounted",
	}
}

// without are the operations of the table that a Desk does not have.
var without = []role.Operation{
	role.CreateAllowlist, role.DeleteAllowlist, role.ChangeKey, role.DeleteKey, role.ChangeContent, role.ChangeKeyPolicy, role.ChangeContacts,
	role.EnableDefault, role.ChangeTier, role.ChangeLimits, role.ChangeState, role.ChangeContext, role.ChangeAccess, role.CreateGroup, role.DeleteGroup,
}

// unseen is what comes of an operation for who does not see the Group. To ask for a key is about a namespace, and nobody has to see the Group for that.
func unseen(o role.Operation) error {
	if o == role.RequestKey {
		return web.ErrForbidden
	}
	return web.ErrNotFound
}

var _ = Describe("What people of a Group may do", func() {
	var (
		w   *testenv.World
		try *attempts
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		try = &attempts{w: w}
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Tier, g.Spec.Limits.Keys = "Pro", ptr.To[int32](1000) })
		w.CreateKey(ctx)
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
	})

	It("is tried in every operation of the table", func() {
		Expect(slices.Concat(slices.Collect(maps.Keys(try.all())), without)).To(ConsistOf(role.Operations()))
	})

	It("is what the table says, and nothing else", func(ctx SpecContext) {
		for _, is := range role.All() {
			desk := join(ctx, w, is)
			for operation, do := range try.all() {
				err := do(ctx, desk)
				if role.May(is, operation) {
					Expect(err).NotTo(HaveOccurred(), "%s: %s", is, operation)
				} else {
					Expect(err).To(MatchError(web.ErrForbidden), "%s: %s", is, operation)
					Expect(err).To(MatchError(MatchRegexp("which needs|it needs|cannot|may not")), "%s: %s: which right is missing is not said", is, operation)
				}
			}
		}
	})

	It("is nothing for a stranger, to whom the Group does not exist", func(ctx SpecContext) {
		stranger := deskOf(w, w.Namespace+":stranger")
		for operation, do := range try.all() {
			Expect(do(ctx, stranger)).To(MatchError(unseen(operation)), "%s", operation)
		}
		found, err := stranger.Groups(ctx, web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Groups).To(BeEmpty())
		Expect(found.Named).To(BeTrue())
		_, _, err = stranger.Member(ctx, place.Group{Namespace: w.Namespace, Name: "other"})
		Expect(err).To(MatchError(web.ErrNotFound))
	})

	It("is nothing in the Groups of others", func(ctx SpecContext) {
		elsewhere := testenv.NewWorld(ctx)
		elsewhere.CreateGroup(ctx)
		elsewhere.CreateKey(ctx)
		owner := join(ctx, w, role.Owner)
		for operation, do := range (&attempts{w: elsewhere}).all() {
			Expect(do(ctx, owner)).To(MatchError(unseen(operation)), "%s", operation)
		}
		By("also if a path names a key of another Group")
		for _, of := range []place.Key{
			{Group: acme(w), Namespace: elsewhere.Namespace, Name: "web"},
			{Group: acme(elsewhere), Namespace: w.Namespace, Name: "web"},
			{Group: acme(w), Namespace: w.Namespace, Name: "../secrets/web"},
		} {
			_, err := owner.Key(ctx, of)
			Expect(err).To(MatchError(web.ErrNotFound), "%+v", of)
			Expect(owner.DoRevoke(ctx, of)).To(MatchError(web.ErrNotFound), "%+v", of)
		}
	})

	It("shows viewers an editor that they can only read", func(ctx SpecContext) {
		viewer := join(ctx, w, role.Viewer)
		editor, err := viewer.Allowlist(ctx, acme(w), w.Namespace, "web", &web.EnteredAllowlist{Site: "https://www.acme.example"})
		Expect(err).NotTo(HaveOccurred())
		Expect(editor.ReadOnly).To(BeTrue())
		Expect(editor.YAML).To(BeEmpty())
		Expect(editor.Verdict.Passes).To(BeTrue())
		keys, err := viewer.Keys(ctx, acme(w), web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(keys.Create).To(BeEmpty())
		key, err := viewer.Key(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(key.Actions).To(BeEmpty())
		is, tier, err := viewer.Member(ctx, acme(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(is).To(Equal(role.Viewer))
		Expect(tier).To(Equal("Pro"))
	})
})
