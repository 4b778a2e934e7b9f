package grouplog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/specchange"
	"github.com/keyward-dev/keyward/internal/tier"
)

// heads is where a writer records heads; before and after may crash it.
type heads struct {
	*store.Objects
	before, after error
}

func (h *heads) RecordLog(ctx context.Context, group string, uid types.UID, head v1alpha1.LogHead) error {
	if h.before != nil {
		return h.before
	}
	if err := h.Objects.RecordLog(ctx, group, uid, head); err != nil {
		return err
	}
	return h.after
}

// newWriter returns the writer of a new leader, which has read the logs.
func newWriter(ctx context.Context, w *testenv.World, change ...func(*grouplog.Writer)) *grouplog.Writer {
	GinkgoHelper()
	writer := &grouplog.Writer{
		Client: testenv.Admin, Reader: testenv.Admin, Cache: testenv.Manager.GetCache(), Tiers: w.Tiers, Clock: w.Clock,
		Namespaces: []string{w.Namespace},
		Heads: &heads{Objects: &store.Objects{
			Client: testenv.Admin, Reader: testenv.Admin, Groups: testenv.Manager.GetClient(), Clock: w.Clock,
		}},
	}
	for _, f := range change {
		f(writer)
	}
	Expect(writer.Load(ctx)).To(Succeed())
	return writer
}

// look has the writer look at every object of the World, as the watches of a new leader would.
func look(ctx context.Context, w *testenv.World, writer *grouplog.Writer) {
	GinkgoHelper()
	cached := testenv.Manager.GetClient()
	var groups v1alpha1.GroupList
	var lists v1alpha1.DomainAllowlistList
	var keys v1alpha1.ApiKeyList
	for _, list := range []client.ObjectList{&groups, &lists, &keys} {
		Expect(cached.List(ctx, list, client.InNamespace(w.Namespace))).To(Succeed())
	}
	for i := range groups.Items {
		Expect(writer.Observe(ctx, &groups.Items[i])).To(Succeed())
	}
	for i := range lists.Items {
		Expect(writer.Observe(ctx, &lists.Items[i])).To(Succeed())
	}
	for i := range keys.Items {
		Expect(writer.Observe(ctx, &keys.Items[i])).To(Succeed())
	}
}

// cached waits until the cache has an object as it is.
func cached(ctx context.Context, object client.Object) {
	GinkgoHelper()
	name := client.ObjectKeyFromObject(object)
	Expect(testenv.Admin.Get(ctx, name, object)).To(Succeed())
	want := object.GetResourceVersion()
	seen, _ := object.DeepCopyObject().(client.Object)
	Eventually(func(g Gomega) {
		g.Expect(testenv.Manager.GetClient().Get(ctx, name, seen)).To(Succeed())
		g.Expect(seen.GetResourceVersion()).To(Equal(want))
	}).Should(Succeed())
}

// segments returns the log of a Group, or of all of the World.
func segments(ctx context.Context, w *testenv.World) []v1alpha1.GroupLog {
	GinkgoHelper()
	var list v1alpha1.GroupLogList
	Expect(testenv.Admin.List(ctx, &list, client.InNamespace(w.Namespace))).To(Succeed())
	return list.Items
}

// head returns what the GroupUsage says about the log.
func head(ctx context.Context, w *testenv.World) *v1alpha1.LogHead {
	GinkgoHelper()
	usage := &v1alpha1.GroupUsage{}
	Expect(client.IgnoreNotFound(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, usage))).To(Succeed())
	return usage.Status.Log
}

// verify reads the log, and returns its first fault.
func verify(ctx context.Context, w *testenv.World) ([]groupevent.Event, *groupevent.Divergence) {
	GinkgoHelper()
	begin, anchors := groupevent.Head{}, []groupevent.Head(nil)
	if h := head(ctx, w); h != nil {
		anchors = append(anchors, groupevent.Head{Sequence: uint64(h.Sequence), ID: h.ID, Hash: h.Hash})
		if p := h.Pruned; p != nil {
			begin = groupevent.Head{Sequence: uint64(p.Sequence), ID: p.ID, Hash: p.Hash}
		}
	}
	verifier, events := groupevent.NewVerifier("", begin, anchors...), []groupevent.Event(nil)
	for _, segment := range segments(ctx, w) {
		Expect(len(segment.Spec.Events)).To(BeNumerically("<=", 256<<10))
		for _, line := range strings.Split(strings.TrimSuffix(segment.Spec.Events, "\n"), "\n") {
			event, divergence := verifier.Add([]byte(line))
			if divergence != nil {
				return events, divergence
			}
			events = append(events, event)
		}
	}
	return events, verifier.Close()
}

// types returns the types of a log without a fault, whose head is recorded, and in which every event is once.
func typesOf(ctx context.Context, w *testenv.World) []string {
	GinkgoHelper()
	events, divergence := verify(ctx, w)
	Expect(divergence).To(BeNil())
	Expect(head(ctx, w).Sequence).To(BeEquivalentTo(len(events)))
	types, seen := []string{}, map[string]bool{}
	for i := range events {
		if seen[events[i].ID] { // HaveKey looks at all keys
			Fail("event " + events[i].ID + " is there twice")
		}
		seen[events[i].ID] = true
		types = append(types, events[i].Type.Short())
	}
	return types
}

func active(g Gomega, key *v1alpha1.ApiKey) { g.Expect(key.Status.State).To(Equal(v1alpha1.KeyActive)) }

var _ = Describe("The log of a Group", func() {
	var w *testenv.World
	var group *v1alpha1.Group
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx)
		cached(ctx, group)
		// Changes by the clock of the World come after the creation, which has the time of the API server.
		w.Clock.Step(max(0, group.CreationTimestamp.Sub(w.Clock.Now())))
	})
	edit := func(ctx context.Context, user string, change func(*v1alpha1.ApiKey)) {
		GinkgoHelper()
		as, _ := testenv.As(user)
		key := &v1alpha1.ApiKey{}
		Eventually(func() error {
			if err := as.Get(ctx, w.Request("web").NamespacedName, key); err != nil {
				return err
			}
			change(key)
			return as.Update(ctx, key, client.FieldOwner("kubectl-edit"))
		}).Should(Succeed())
		cached(ctx, key)
	}
	// lifecycle leads a key from its creation to its end, and calls step after each part of it.
	lifecycle := func(ctx context.Context, step func()) {
		GinkgoHelper()
		step()
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", active)
		cached(ctx, key)
		step()
		edit(ctx, "jane", func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) })
		step()
		edit(ctx, "joe", func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(false) })
		step()
		edit(ctx, "jane", func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger, k.Spec.Rotation.Overlap = "now", "1h" })
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[1].State).To(Equal(v1alpha1.VersionActive))
			g.Expect(k.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetiring))
		})
		cached(ctx, key)
		step()
		w.Clock.Step(2 * time.Hour)
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetired))
		})
		cached(ctx, key)
		step()
		edit(ctx, "joe", func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) })
		step()
	}
	whole := []string{
		"group.created", "key.created", "key.minted", "key.delivered", "key.suspended", "key.resumed", "key.edited",
		"key.minted", "key.delivered", "key.rotated", "key.overlap-ended", "key.revoked",
	}

	It("has each transition of a key once, in order, with who caused it, and no key", func(ctx SpecContext) {
		writes := 0
		counting := func(writer *grouplog.Writer) {
			writer.Client = interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(func() { writes++ }))
		}
		writer, texts := newWriter(ctx, w, counting), []string{}
		lifecycle(ctx, func() {
			look(ctx, w, writer)
			Expect(writer.Flush(ctx, group.UID)).To(Succeed())
			if secret, err := w.Secret(ctx); err == nil {
				texts = append(texts, string(secret.Data[v1alpha1.SecretKeyAPIKey]))
			}
		})
		Expect(typesOf(ctx, w)).To(ConsistOf(whole))
		events, _ := verify(ctx, w)
		actors, changes := map[string]string{}, map[string]string{}
		for _, event := range events {
			actors[event.Type.Short()] = event.Actor.User + " " + event.Actor.Via
			changes[event.Type.Short()] = string(event.Data)
		}
		Expect(actors).To(HaveKeyWithValue("key.suspended", "jane kubectl"))
		Expect(actors).To(HaveKeyWithValue("key.resumed", "joe kubectl"))
		Expect(actors).To(HaveKeyWithValue("key.rotated", "jane kubectl"))
		Expect(actors).To(HaveKeyWithValue("key.revoked", "joe kubectl"))
		Expect(actors).To(HaveKeyWithValue("key.overlap-ended", " keyward"))
		Expect(changes["key.suspended"]).To(ContainSubstring(`{"after":"true","before":"false","field":"spec.suspended"}`))
		Expect(changes["key.rotated"]).To(ContainSubstring(`"cause":"Triggered"`))

		By("writing nothing when nothing happens")
		before := writes
		look(ctx, w, writer)
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		Expect(writes).To(Equal(before))
		Expect(before).To(BeNumerically(">=", 7))

		By("having neither texts nor digests")
		key := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
		for _, version := range key.Status.Versions {
			_, digits, _ := strings.Cut(version.Digest, ":")
			texts = append(texts, digits)
		}
		Expect(len(texts)).To(BeNumerically(">=", 4))
		for _, segment := range segments(ctx, w) {
			for _, text := range texts {
				Expect(text).NotTo(BeEmpty())
				Expect(segment.Spec.Events).NotTo(ContainSubstring(text))
			}
			Expect(segment.Spec.Events).NotTo(ContainSubstring("/mkt/"))
		}
	})

	errCrash := errors.New("crash")
	// crashes let a leader crash at a step, which the API server may have carried out.
	crashes := map[string]func(*grouplog.Writer){
		"before the segment is written": func(writer *grouplog.Writer) {
			writer.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return errCrash },
				Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
					return errCrash
				},
			})
		},
		"after the segment is written": func(writer *grouplog.Writer) {
			writer.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
					return errors.Join(c.Create(ctx, object, options...), errCrash)
				},
				Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch,
					options ...client.PatchOption) error {
					return errors.Join(c.Patch(ctx, object, patch, options...), errCrash)
				},
			})
		},
		"before the head is recorded": func(writer *grouplog.Writer) { writer.Heads.(*heads).before = errCrash },
		"after the head is recorded":  func(writer *grouplog.Writer) { writer.Heads.(*heads).after = errCrash },
	}
	for name, crash := range crashes {
		It("has each transition once if every leader crashes "+name, func(ctx SpecContext) {
			lifecycle(ctx, func() {
				writer := newWriter(ctx, w, crash)
				look(ctx, w, writer)
				Expect(writer.Flush(ctx, group.UID)).To(MatchError(errCrash))
			})
			writer := newWriter(ctx, w)
			look(ctx, w, writer)
			Expect(writer.Flush(ctx, group.UID)).To(Succeed())
			Expect(typesOf(ctx, w)).To(ConsistOf(whole))
		})
	}

	It("has each transition once if the same leader tries again", func(ctx SpecContext) {
		failing := newWriter(ctx, w, crashes["after the segment is written"])
		look(ctx, w, failing)
		Expect(failing.Flush(ctx, group.UID)).To(MatchError(errCrash))
		failing.Client = testenv.Admin
		Expect(failing.Flush(ctx, group.UID)).To(Succeed())
		Expect(typesOf(ctx, w)).To(Equal([]string{"group.created"}))
	})

	It("has each transition once if two leaders write", func(ctx SpecContext) {
		one, two := newWriter(ctx, w), newWriter(ctx, w)
		lifecycle(ctx, func() {
			look(ctx, w, one)
			look(ctx, w, two)
			for _, writer := range []*grouplog.Writer{one, two, two, one, one} {
				if err := writer.Flush(ctx, group.UID); err != nil {
					Expect(apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err)).To(BeTrue(), err.Error())
				}
			}
		})
		Expect(typesOf(ctx, w)).To(ConsistOf(whole))
	})

	// changed returns the Group as it was after n changes.
	changed := func(n int) *v1alpha1.Group {
		GinkgoHelper()
		object := group.DeepCopy()
		delete(object.Annotations, v1alpha1.AnnotationChanges)
		value, err := specchange.Add(object.Annotations, specchange.Change{
			Generation: int64(n + 1), Spec: true, At: w.Clock.Now(), User: fmt.Sprintf("user-%d", n), Via: groupevent.ViaKubectl,
			Fields: []specchange.Field{{Path: "spec.displayName", Before: strings.Repeat("é", 100), After: fmt.Sprint(n)}},
		})
		Expect(err).NotTo(HaveOccurred())
		object.Annotations[v1alpha1.AnnotationChanges] = value
		return object
	}

	It("loses nothing of 6,000 events of one Group", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		for n := range 6000 {
			Expect(writer.Observe(ctx, changed(n+1))).To(Succeed())
			if n%100 == 99 {
				Expect(writer.Flush(ctx, group.UID)).To(Succeed())
			}
		}
		types := typesOf(ctx, w)
		Expect(types).To(HaveLen(6001))
		Expect(len(segments(ctx, w))).To(BeNumerically(">", 10))
		events, _ := verify(ctx, w)
		for n, event := range events[1:] {
			Expect(event.Actor.User).To(Equal(fmt.Sprintf("user-%d", n+1)))
		}
	})

	It("shows that its end is missing, also when it goes on", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		for n := range 400 {
			Expect(writer.Observe(ctx, changed(n+1))).To(Succeed())
		}
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		all := segments(ctx, w)
		Expect(len(all)).To(BeNumerically(">", 1))
		Expect(testenv.Admin.Delete(ctx, &all[len(all)-1])).To(Succeed())
		left, divergence := verify(ctx, w)
		Expect(divergence).To(HaveField("Fault", groupevent.MissingTail))
		Expect(divergence.Sequence).To(BeEquivalentTo(len(left) + 1))

		next := newWriter(ctx, w)
		Expect(next.Observe(ctx, changed(1000))).To(Succeed())
		Expect(next.Flush(ctx, group.UID)).To(Succeed())
		_, divergence = verify(ctx, w)
		Expect(divergence).To(HaveField("Fault", groupevent.Removed))
		Expect(head(ctx, w).Sequence).To(BeEquivalentTo(402))
	})

	It("prunes what is older than its tier keeps, and does not record it again", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		look(ctx, w, writer)
		for n := range 600 {
			Expect(writer.Observe(ctx, changed(n+1))).To(Succeed())
		}
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		Expect(len(segments(ctx, w))).To(BeNumerically(">", 2))
		writer.Prune(ctx)
		Expect(len(segments(ctx, w))).To(BeNumerically(">", 2))
		w.Clock.Step(8 * 24 * time.Hour)
		Expect(writer.Observe(ctx, changed(1000))).To(Succeed())
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		writer.Prune(ctx)
		Expect(segments(ctx, w)).To(HaveLen(1))
		_, divergence := verify(ctx, w)
		Expect(divergence).To(BeNil())
		Expect(head(ctx, w).Pruned).NotTo(BeNil())

		next := newWriter(ctx, w)
		look(ctx, w, next)
		Expect(next.Observe(ctx, changed(1000))).To(Succeed())
		Expect(next.Flush(ctx, group.UID)).To(Succeed())
		Expect(head(ctx, w).Sequence).To(BeEquivalentTo(602))
	})

	It("is not larger than its tier allows", func(ctx SpecContext) {
		catalogue := *w.Tiers
		catalogue.Tiers, catalogue.Default = []tier.Tier{{Name: "small", LogSize: 1 << 20}}, "small"
		writer := newWriter(ctx, w)
		writer.Tiers = &catalogue
		look(ctx, w, writer)
		oldest := changed(1)
		for n := range 2000 {
			w.Clock.Step(2 * time.Second)
			Expect(writer.Observe(ctx, changed(n+1))).To(Succeed())
			if n%50 == 49 {
				Expect(writer.Flush(ctx, group.UID)).To(Succeed())
				size := 0
				for _, s := range segments(ctx, w) {
					size += len(s.Spec.Events)
				}
				Expect(size).To(BeNumerically("<=", 1<<20))
			}
		}
		events, divergence := verify(ctx, w)
		Expect(divergence).To(BeNil(), "what was deleted is known")
		Expect(len(events)).To(BeNumerically(">", 300))
		last := head(ctx, w)
		Expect(last.Sequence).To(BeEquivalentTo(2001))
		Expect(last.Pruned.Reason).To(Equal(v1alpha1.PrunedBySize))
		Expect(events[0].Sequence).To(BeEquivalentTo(last.Pruned.Sequence + 1))

		By("being read by another leader")
		next := newWriter(ctx, w)
		next.Tiers = &catalogue
		Expect(next.Observe(ctx, oldest)).To(Succeed())
		Expect(next.Observe(ctx, changed(2000))).To(Succeed())
		Expect(next.Flush(ctx, group.UID)).To(Succeed())
		Expect(head(ctx, w).Sequence).To(BeEquivalentTo(2001), "nothing is recorded again")
	})

	It("writes little again when it appends", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		look(ctx, w, writer)
		for n := range 300 {
			Expect(writer.Observe(ctx, changed(n+1))).To(Succeed())
			Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		}
		for _, s := range segments(ctx, w) {
			Expect(len(s.Spec.Events)).To(BeNumerically("<=", 32<<10))
		}
	})

	It("has deletions that nobody saw", func(ctx SpecContext) {
		list := w.NewAllowlist()
		Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
		cached(ctx, list)
		writer := newWriter(ctx, w)
		look(ctx, w, writer)
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, list)).To(Succeed())
		gone(ctx, list)

		next := newWriter(ctx, w)
		look(ctx, w, next)
		Expect(next.FindDeleted(ctx)).To(Succeed())
		Expect(next.Flush(ctx, group.UID)).To(Succeed())
		Expect(typesOf(ctx, w)).To(Equal([]string{"group.created", "allowlist.created", "allowlist.deleted"}))

		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		gone(ctx, group)
		last := newWriter(ctx, w)
		Expect(last.FindDeleted(ctx)).To(Succeed())
		Expect(last.Flush(ctx, group.UID)).To(Succeed())
		events, _ := verify(ctx, w)
		Expect(events[len(events)-1].Type).To(Equal(groupevent.TypeGroupDeleted))

		again := newWriter(ctx, w)
		Expect(again.FindDeleted(ctx)).To(Succeed())
		Expect(again.Flush(ctx, group.UID)).To(Succeed())
		repeated, _ := verify(ctx, w)
		Expect(repeated).To(HaveLen(len(events)))
	})

	It("is that of one Group, also when another gets its name", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		look(ctx, w, writer)
		for n := range 3 {
			Expect(writer.Observe(ctx, changed(n+1))).To(Succeed())
		}
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		first := group.UID
		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		gone(ctx, group)
		By("creating it again, with the GroupUsage of the first from a backup")
		usage := &v1alpha1.GroupUsage{}
		Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, usage)).To(Succeed())
		usage.OwnerReferences = nil
		Expect(testenv.Admin.Update(ctx, usage)).To(Succeed())
		usage.Status.GroupUID = ""
		Expect(testenv.Admin.Status().Update(ctx, usage)).To(Succeed())
		group = w.CreateGroup(ctx)
		cached(ctx, group)
		next := newWriter(ctx, w)
		look(ctx, w, next)
		Expect(next.FindDeleted(ctx)).To(Succeed())
		for _, uid := range []types.UID{first, group.UID} {
			Expect(next.Flush(ctx, uid)).To(Succeed())
		}
		Expect(head(ctx, w).Sequence).To(BeEquivalentTo(1))
		last := map[types.UID]string{}
		for _, segment := range segments(ctx, w) {
			all := strings.Split(strings.TrimSuffix(segment.Spec.Events, "\n"), "\n")
			event, err := groupevent.Decode([]byte(all[len(all)-1]))
			Expect(err).NotTo(HaveOccurred())
			last[segment.Spec.GroupUID] = fmt.Sprint(event.Sequence, " ", event.Type.Short())
		}
		Expect(last).To(Equal(map[types.UID]string{first: "5 group.deleted", group.UID: "1 group.created"}))
	})

	It("can only be appended to", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		look(ctx, w, writer)
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		segment := segments(ctx, w)[0]
		for name, change := range map[string]func(*v1alpha1.GroupLogSpec){
			"only appended to":        func(s *v1alpha1.GroupLogSpec) { s.Events = strings.Replace(s.Events, "admin", "nobody", 1) },
			"a log is only":           func(s *v1alpha1.GroupLogSpec) { s.Events = s.Events[:10] },
			"a segment stays what it": func(s *v1alpha1.GroupLogSpec) { s.First = 7 },
		} {
			changed := segment.DeepCopy()
			change(&changed.Spec)
			Expect(testenv.Admin.Update(ctx, changed)).To(MatchError(ContainSubstring(name)))
		}
	})

	It("keeps little while it cannot be written, and has everything afterwards", func(ctx SpecContext) {
		var refused atomic.Int32
		refused.Store(1)
		writer := newWriter(ctx, w, func(writer *grouplog.Writer) {
			writer.Clock, writer.MaxPending = clock.RealClock{}, 4
			writer.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
					if refused.Load() > 0 {
						refused.Add(1)
						return apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("grouplogs").GroupResource(), object.GetName(),
							errors.New("exceeded quota"))
					}
					return c.Create(ctx, object, options...)
				},
			})
		})
		running, stop := context.WithCancel(ctx)
		stopped := make(chan error, 1)
		go func() { stopped <- writer.Start(running) }()
		expected := []string{"group.created"}
		for i := range 40 {
			list := w.NewAllowlist(func(list *v1alpha1.DomainAllowlist) { list.Name = fmt.Sprint("list-", i) })
			Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
			cached(ctx, list)
			expected = append(expected, "allowlist.created")
		}
		Eventually(refused.Load).Should(BeNumerically(">", 2), "it has tried")
		refused.Store(0)
		Eventually(func(g Gomega) {
			events, divergence := verify(ctx, w)
			g.Expect(divergence).To(BeNil())
			types := []string{}
			for i := range events {
				types = append(types, events[i].Type.Short())
			}
			g.Expect(types).To(ConsistOf(expected))
		}).Should(Succeed())
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})

	It("is written while a manager leads", func(ctx SpecContext) {
		writer := newWriter(ctx, w, func(writer *grouplog.Writer) { writer.Clock = clock.RealClock{} })
		running, stop := context.WithCancel(ctx)
		stopped := make(chan error, 1)
		go func() { stopped <- writer.Start(running) }()
		has := func(expected ...string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				events, divergence := verify(ctx, w)
				g.Expect(divergence).To(BeNil())
				types := []string{}
				for i := range events {
					types = append(types, events[i].Type.Short())
				}
				g.Expect(types).To(ConsistOf(expected))
			}).Should(Succeed())
		}
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", active)
		has("group.created", "key.created", "key.minted", "key.delivered")
		list := w.NewAllowlist()
		Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
		joe, _ := testenv.As("joe")
		Expect(joe.Delete(ctx, list)).To(Succeed())
		has("group.created", "key.created", "key.minted", "key.delivered", "allowlist.created", "allowlist.deleted")
		events, _ := verify(ctx, w)
		Expect(events[5].Type).To(Equal(groupevent.TypeAllowlistDeleted))
		Expect(events[5].Actor.User).To(Equal("joe"))
		Eventually(func() int64 { return ptr.Deref(head(ctx, w), v1alpha1.LogHead{}).Sequence }).Should(BeEquivalentTo(6))
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})
})

// gone waits until the cache does not have an object.
func gone(ctx context.Context, object client.Object) {
	GinkgoHelper()
	name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	Eventually(func() bool {
		return apierrors.IsNotFound(testenv.Manager.GetClient().Get(ctx, name, object))
	}).Should(BeTrue())
}
