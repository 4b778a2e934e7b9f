package v1alpha1_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("The schema of requests for keys", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	request := func() *v1alpha1.KeyRequest {
		r := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"}}
		r.Spec.GroupRef.Name, r.Spec.Projects, r.Spec.UseCase = "acme", []v1alpha1.ProjectName{"marketing"}, "The shop"
		return r
	}
	review := func() *v1alpha1.KeyRequestReview {
		r := &v1alpha1.KeyRequestReview{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "0123"}}
		r.Spec.Request = v1alpha1.RequestIdentity{Namespace: w.Namespace, Name: "web", UID: "1", At: metav1.Unix(1e9, 0)}
		r.Spec.Group = v1alpha1.GroupIdentity{Name: "acme", UID: "2"}
		r.Spec.Projects, r.Spec.UseCase = []v1alpha1.ProjectName{"marketing"}, "The shop"
		return r
	}
	// patched is the result of a merge patch of the spec.
	patched := func(ctx SpecContext, object client.Object, spec string) error {
		return testenv.Admin.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"spec":`+spec+`}`)))
	}

	It("keeps a request as it is", func(ctx SpecContext) {
		r := request()
		Expect(testenv.Admin.Create(ctx, r)).To(Succeed())
		Expect(r.Spec.Permissions).To(Equal([]v1alpha1.PermissionName{"read"}))
		for _, change := range []string{
			`{"projects":["product"]}`, `{"useCase":"Another"}`, `{"lifetime":"30d"}`, `{"permissions":["read","post"]}`, `{"groupRef":{"name":"globex"}}`,
		} {
			Expect(patched(ctx, r.DeepCopy(), change)).To(MatchError(ContainSubstring("stays what it is")), change)
		}
	})

	It("refuses requests that are too long, or say nothing", func(ctx SpecContext) {
		for _, change := range []func(*v1alpha1.KeyRequestSpec){
			func(s *v1alpha1.KeyRequestSpec) { s.UseCase = "" },
			func(s *v1alpha1.KeyRequestSpec) { s.UseCase = strings.Repeat("x", 501) },
			func(s *v1alpha1.KeyRequestSpec) { s.UseCase = "The shop\x1b[2J" },
			func(s *v1alpha1.KeyRequestSpec) { s.Projects = nil },
			func(s *v1alpha1.KeyRequestSpec) { s.Projects = append(s.Projects, s.Projects...) },
			func(s *v1alpha1.KeyRequestSpec) { s.Lifetime = "Never" },
		} {
			r := request()
			change(&r.Spec)
			Expect(testenv.Admin.Create(ctx, r)).To(MatchError(apierrors.IsInvalid, "IsInvalid"), "%+v", r.Spec)
		}
	})

	It("refuses control characters, which would act on the terminals of others", func(ctx SpecContext) {
		for _, text := range []string{"\x1b[2J", "\x07", "a\rb", "\u009b5m", "\x7f", "\x00"} {
			r := request()
			r.Spec.UseCase = "The shop" + text
			Expect(testenv.Admin.Create(ctx, r)).To(MatchError(ContainSubstring("control characters")), "%q", text)
			decided := review()
			Expect(testenv.Admin.Create(ctx, decided)).To(Succeed())
			decided.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictRefused, Reason: "No" + text}
			Expect(testenv.Admin.Update(ctx, decided)).To(MatchError(ContainSubstring("control characters")), "%q", text)
			Expect(testenv.Admin.Delete(ctx, decided)).To(Succeed())
		}
		for i, text := range []string{"The shop\nshows\tscenes", "Für 商店 👩‍💻 שלום", "100 % [^P] \\P{Cc}"} {
			r := request()
			r.Name, r.Spec.UseCase = fmt.Sprint("text-", i), text
			Expect(testenv.Admin.Create(ctx, r)).To(Succeed(), text)
		}
	})

	It("keeps everything of a review but its decision", func(ctx SpecContext) {
		r := review()
		Expect(testenv.Admin.Create(ctx, r)).To(Succeed())
		for _, change := range []string{
			`{"projects":["product"]}`, `{"useCase":"Another"}`, `{"lifetime":"30d"}`, `{"permissions":["post"]}`,
			`{"request":{"uid":"3"}}`, `{"request":{"by":"jane"}}`, `{"group":{"uid":"3"}}`,
		} {
			Expect(patched(ctx, r.DeepCopy(), change)).To(MatchError(apierrors.IsInvalid, "IsInvalid"), change)
		}
	})

	It("accepts final decisions only once", func(ctx SpecContext) {
		allowed := map[string][]string{"": {"Approved", "Refused"}, "Approved": {"Approved", "Withdrawn"}, "Refused": {"Refused"}, "Withdrawn": {"Withdrawn"}}
		for was, next := range allowed {
			for _, verdict := range []string{"Approved", "Refused", "Withdrawn", "Deferred", ""} {
				r := review()
				Expect(testenv.Admin.Create(ctx, r)).To(Succeed())
				switch was {
				case "":
				case "Withdrawn":
					Expect(patched(ctx, r, `{"decision":{"verdict":"Approved"}}`)).To(Succeed())
					fallthrough
				default:
					Expect(patched(ctx, r, `{"decision":{"verdict":"`+was+`"}}`)).To(Succeed())
				}
				change := `{"decision":{"verdict":"` + verdict + `"}}`
				if verdict == "" {
					change = `{"decision":null}`
				}
				matcher := MatchError(apierrors.IsInvalid, "IsInvalid")
				if was == verdict || len(next) > 0 && (next[0] == verdict || next[len(next)-1] == verdict) {
					matcher = BeNil()
				}
				Expect(patched(ctx, r.DeepCopy(), change)).To(matcher, "%q to %q", was, verdict)
				Expect(testenv.Admin.Delete(ctx, r)).To(Succeed())
			}
		}
	})
})
