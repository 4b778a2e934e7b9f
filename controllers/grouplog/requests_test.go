package grouplog_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

var _ = Describe("The log of a Group with requests for keys", func() {
	var (
		w     *testenv.World // where the Group is
		other *testenv.World // where keys are asked for
		group *v1alpha1.Group
	)
	BeforeEach(func(ctx SpecContext) {
		w, other = testenv.NewWorld(ctx), testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = v1alpha1.RequestsManual, v1alpha1.NamespacesFromAll
			g.Spec.Tier = "Business" // its logs are kept for longer than requests wait
		})
		cached(ctx, group)
	})
	request := func(name string) *v1alpha1.KeyRequest {
		return &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: name}}
	}
	review := func(of *v1alpha1.KeyRequest) *v1alpha1.KeyRequestReview {
		return &v1alpha1.KeyRequestReview{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: keyrequest.ReviewName(of.UID, group.UID)}}
	}
	// until reconciles the request until it has the state, and the cache has it and its review.
	until := func(ctx context.Context, name string, state v1alpha1.KeyRequestState) {
		GinkgoHelper()
		r := request(name)
		Eventually(func(g Gomega) {
			_, err := other.ReconcileRequest(ctx, name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(r), r)).To(Succeed())
			g.Expect(r.Status.State).To(Equal(state))
			if !r.Status.State.Final() {
				g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(review(r)), &v1alpha1.KeyRequestReview{})).To(Succeed())
			}
		}).Should(Succeed())
		cached(ctx, r)
		if state != v1alpha1.KeyRequestExpired {
			cached(ctx, review(r))
		}
	}
	ask := func(ctx context.Context, name string) *v1alpha1.KeyRequest {
		GinkgoHelper()
		r := request(name)
		r.Spec.GroupRef = v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"}
		r.Spec.Projects, r.Spec.UseCase, r.Spec.Lifetime = []v1alpha1.ProjectName{"marketing"}, "The shop", "30d"
		jane, _ := testenv.As("jane")
		Expect(jane.Create(ctx, r)).To(Succeed())
		until(ctx, name, v1alpha1.KeyRequestPending)
		return r
	}
	decide := func(ctx context.Context, r *v1alpha1.KeyRequest, verdict v1alpha1.Verdict, reason string) {
		GinkgoHelper()
		olga, _ := testenv.As("olga")
		found := review(r)
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(found), found)).To(Succeed())
		before := found.DeepCopy()
		found.Spec.Decision = &v1alpha1.Decision{Verdict: verdict, Reason: reason}
		Expect(olga.Patch(ctx, found, client.MergeFrom(before))).To(Succeed())
		cached(ctx, found)
	}
	// lookAround looks at what the watches of a new leader would show, and writes.
	lookAround := func(ctx context.Context, writer *grouplog.Writer) error {
		GinkgoHelper()
		Expect(writer.Observe(ctx, group)).To(Succeed())
		var reviews v1alpha1.KeyRequestReviewList
		var requests v1alpha1.KeyRequestList
		var keys v1alpha1.ApiKeyList
		Expect(testenv.Manager.GetClient().List(ctx, &reviews, client.InNamespace(w.Namespace))).To(Succeed())
		Expect(testenv.Manager.GetClient().List(ctx, &requests, client.InNamespace(other.Namespace))).To(Succeed())
		Expect(testenv.Manager.GetClient().List(ctx, &keys, client.InNamespace(other.Namespace))).To(Succeed())
		for i := range reviews.Items {
			Expect(writer.Observe(ctx, &reviews.Items[i])).To(Succeed())
		}
		for i := range requests.Items {
			Expect(writer.Observe(ctx, &requests.Items[i])).To(Succeed())
		}
		for i := range keys.Items {
			Expect(writer.Observe(ctx, &keys.Items[i])).To(Succeed())
		}
		Expect(writer.FindDeleted(ctx)).To(Succeed())
		return writer.Flush(ctx, group.UID)
	}
	// ends has requests that end in every way, and calls step after each part of it.
	ends := func(ctx context.Context, step func()) {
		GinkgoHelper()
		web, app, undecided, deleted := ask(ctx, "web"), ask(ctx, "app"), ask(ctx, "undecided"), ask(ctx, "deleted")
		step()
		decide(ctx, web, v1alpha1.VerdictApproved, "We know them")
		until(ctx, "web", v1alpha1.KeyRequestIssued)
		key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: other.Namespace, Name: "web"}}
		cached(ctx, key)
		step()
		decide(ctx, app, v1alpha1.VerdictRefused, "Use web")
		until(ctx, "app", v1alpha1.KeyRequestRefused)
		step()
		decide(ctx, web, v1alpha1.VerdictWithdrawn, "")
		Expect(testenv.Admin.Delete(ctx, deleted)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := other.ReconcileRequest(ctx, "deleted")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(review(deleted)), &v1alpha1.KeyRequestReview{})).NotTo(Succeed())
		}).Should(Succeed())
		gone(ctx, review(deleted))
		gone(ctx, deleted)
		step()
		other.Clock.Step(31 * 24 * time.Hour)
		w.Clock.Step(31 * 24 * time.Hour)
		until(ctx, "undecided", v1alpha1.KeyRequestExpired)
		gone(ctx, review(undecided))
		step()
	}
	whole := []string{
		"group.created", "request.created", "request.created", "request.created", "request.created", "request.approved", "key.created",
		"request.refused", "request.withdrawn", "request.ended", "request.ended",
	}

	// steps are the types of the log, except what happens to the key once it is there.
	steps := func(ctx context.Context) []string {
		GinkgoHelper()
		return slices.DeleteFunc(typesOf(ctx, w), func(kind string) bool { return strings.HasPrefix(kind, "key.") && kind != "key.created" })
	}

	It("has each step of each request once, with who took it", func(ctx SpecContext) {
		ends(ctx, func() { Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed()) })
		Expect(steps(ctx)).To(ConsistOf(whole))

		events, _ := verify(ctx, w)
		said := map[string]string{}
		for _, event := range events {
			said[event.Type.Short()+" "+event.Subject.Name] = event.Subject.Kind + " by " + event.Actor.User + " " + event.Actor.Via + ": " + string(event.Data)
		}
		web := request("web")
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(web), web)).To(Succeed())
		for what, want := range map[string]string{
			"request.created web":     `KeyRequest by jane other: {"lifetime":"30d","permissions":["read"],"projects":["marketing"],"useCase":"The shop"}`,
			"request.approved web":    `KeyRequest by olga other: {"reason":"We know them"}`,
			"request.refused app":     `KeyRequest by olga other: {"reason":"Use web"}`,
			"request.withdrawn web":   `KeyRequest by olga other: {}`,
			"request.ended undecided": `KeyRequest by  keyward: {"how":"Expired"}`,
			"request.ended deleted":   `KeyRequest by  unknown: {"how":"Deleted"}`,
		} {
			Expect(said).To(HaveKeyWithValue(what, want))
		}
		Expect(said["key.created web"]).To(ContainSubstring(`"request":"` + string(web.UID) + `"`))
	})

	errCrash := errors.New("crash")
	for name, crash := range map[string]func(*grouplog.Writer){
		"before the segment is written": func(writer *grouplog.Writer) {
			writer.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return errCrash },
				Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
					return errCrash
				},
			})
		},
		"after the segment is written": func(writer *grouplog.Writer) { writer.Heads.(*heads).before = errCrash },
	} {
		It("has each step once if every leader crashes "+name, func(ctx SpecContext) {
			ends(ctx, func() { Expect(lookAround(ctx, newWriter(ctx, w, crash))).To(MatchError(errCrash)) })
			Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed())
			want := whole
			if strings.HasPrefix(name, "before") {
				// Nothing was written of the two requests without a review before that was gone.
				want = []string{"group.created", "request.created", "request.created", "request.approved", "key.created", "request.refused", "request.withdrawn"}
			}
			Expect(steps(ctx)).To(ConsistOf(want))
		})
	}

	It("has no end of a request that is decided, or whose review alone was deleted", func(ctx SpecContext) {
		web, app := ask(ctx, "web"), ask(ctx, "app")
		decide(ctx, web, v1alpha1.VerdictRefused, "No")
		until(ctx, "web", v1alpha1.KeyRequestRefused)
		Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, review(app))).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, web)).To(Succeed())
		gone(ctx, web)
		gone(ctx, review(app))
		Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed())
		until(ctx, "app", v1alpha1.KeyRequestPending)
		Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed())
		Expect(typesOf(ctx, w)).To(ConsistOf("group.created", "request.created", "request.created", "request.refused"))
	})

	It("has requests while a manager leads", func(ctx SpecContext) {
		writer := newWriter(ctx, w, func(writer *grouplog.Writer) { writer.Clock = clock.RealClock{} })
		running, stop := context.WithCancel(ctx)
		stopped := make(chan error, 1)
		go func() { stopped <- writer.Start(running) }()
		web, app := ask(ctx, "web"), ask(ctx, "app")
		decide(ctx, web, v1alpha1.VerdictRefused, "No")
		types := func() (all []string) {
			events, _ := verify(ctx, w)
			for _, event := range events {
				all = append(all, event.Type.Short())
			}
			return all
		}
		Eventually(types).Should(ConsistOf("group.created", "request.created", "request.created", "request.refused"))
		Eventually(func() int64 { return ptr.Deref(head(ctx, w), v1alpha1.LogHead{}).Sequence }).Should(BeEquivalentTo(4))
		Expect(testenv.Admin.Delete(ctx, web)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, app)).To(Succeed())
		Eventually(types).Should(ConsistOf("group.created", "request.created", "request.created", "request.refused", "request.ended"))
		for _, r := range []*v1alpha1.KeyRequest{web, app} {
			gone(ctx, r)
			Eventually(func(g Gomega) {
				_, err := other.ReconcileRequest(ctx, r.Name)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(review(r)), &v1alpha1.KeyRequestReview{})).NotTo(Succeed())
			}).Should(Succeed())
		}
		Consistently(types, "1s").Should(HaveLen(5), "the end of the review is the same event")
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})

	It("has the end of a request whose beginning is pruned", func(ctx SpecContext) {
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Tier = "Basic" })
		cached(ctx, group)
		app, web := ask(ctx, "app"), ask(ctx, "web")
		writer := newWriter(ctx, w)
		Expect(lookAround(ctx, writer)).To(Succeed())
		seen := review(app)
		cached(ctx, seen)
		Expect(testenv.Admin.Delete(ctx, app)).To(Succeed())
		gone(ctx, app)
		w.Clock.Step(10 * 24 * time.Hour)
		Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed())
		Expect(writer.Deleted(ctx, seen)).To(Succeed())
		seen = review(web)
		cached(ctx, seen)
		Expect(writer.Deleted(ctx, seen)).To(Succeed(), "it is created again")
		w.Clock.Step(21 * 24 * time.Hour)
		Expect(writer.Deleted(ctx, seen)).To(Succeed())
		for _, writer := range []*grouplog.Writer{writer, writer, newWriter(ctx, w)} {
			_ = lookAround(ctx, writer) // another has written meanwhile
		}
		events, divergence := verify(ctx, w)
		Expect(divergence).To(BeNil())
		how := map[string]string{}
		for _, event := range events {
			if event.Type == groupevent.TypeRequestEnded {
				how[event.Subject.Name] += string(event.Data)
			}
		}
		Expect(how).To(Equal(map[string]string{"app": `{"how":"Deleted"}`, "web": `{"how":"Expired"}`}))
	})

	It("has how each step was taken, where admission has recorded it", func(ctx SpecContext) {
		const pipeline = "system:serviceaccount:argocd:argocd-application-controller"
		asked := map[string]struct {
			user, manager string
			via           v1alpha1.Via
		}{
			"plugin": {"jane", "keyward-cli", v1alpha1.ViaKubectl}, "kubectl": {"jane", "kubectl-create", v1alpha1.ViaKubectl},
			"console": {"jane", "keyward-console", v1alpha1.ViaConsole}, "helm": {"jane", "helm", v1alpha1.ViaHelm},
			"argocd": {pipeline, "argocd-controller", v1alpha1.ViaGitOps}, "script": {pipeline, "", v1alpha1.ViaAutomation},
		}
		want := map[string]string{}
		for name, of := range asked {
			as, _ := testenv.As(of.user)
			r := request(name)
			r.Spec.GroupRef = v1alpha1.GroupReference{Namespace: w.Namespace, Name: "acme"}
			r.Spec.Projects, r.Spec.UseCase = []v1alpha1.ProjectName{"marketing"}, "The shop"
			Expect(as.Create(ctx, r, client.FieldOwner(of.manager))).To(Succeed())
			until(ctx, name, v1alpha1.KeyRequestPending)
			found := review(r)
			Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(found), found)).To(Succeed())
			Expect(found.Spec.Request.Via).To(Equal(of.via), name)
			before := found.DeepCopy()
			found.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictRefused, Reason: "No"}
			Expect(as.Patch(ctx, found, client.MergeFrom(before), client.FieldOwner(of.manager))).To(Succeed())
			cached(ctx, found)
			until(ctx, name, v1alpha1.KeyRequestRefused)
			Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(r), r)).To(Succeed())
			Expect(r.Status.Decided).To(ConsistOf(HaveField("Via", of.via)), name)
			for _, kind := range []string{"created", "refused"} {
				want["request."+kind+" "+name] = of.user + " " + string(of.via)
			}
		}
		By("which a review of an earlier version does not have")
		earlier := request("earlier")
		earlier.UID, earlier.CreationTimestamp = "earlier", metav1.NewTime(w.Clock.Now())
		earlier.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "jane"}
		earlier.Spec.Projects, earlier.Spec.UseCase = []v1alpha1.ProjectName{"marketing"}, "The shop"
		found := keyrequest.NewReview(earlier, group)
		Expect(testenv.Admin.Create(ctx, found)).To(Succeed())
		cached(ctx, found)
		want["request.created earlier"] = "jane unknown"

		Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed())
		events, _ := verify(ctx, w)
		said := map[string]string{}
		for _, event := range events {
			if event.Subject.Kind == "KeyRequest" {
				said[event.Type.Short()+" "+event.Subject.Name] = event.Actor.User + " " + event.Actor.Via
			}
		}
		Expect(said).To(Equal(want))
	})

	It("says who has changed whether keys can be requested", func(ctx SpecContext) {
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsAutomatic })
		cached(ctx, group)
		Expect(lookAround(ctx, newWriter(ctx, w))).To(Succeed())
		events, _ := verify(ctx, w)
		Expect(events[len(events)-1]).To(And(HaveField("Type", groupevent.TypeGroupEdited), HaveField("Data",
			ContainSubstring(`{"after":"Automatic","before":"Manual","field":"spec.keyPolicy.requests"}`))))
	})
})
