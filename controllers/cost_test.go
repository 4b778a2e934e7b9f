package controllers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/test/cost"
)

// The maximum cost of one admission, and of one reconciliation: far less than would disturb others, and more than the largest
// objects need.
var (
	admissionBound = cost.Cost{Allocated: 64 << 20, Worked: time.Second}
	reconcileBound = cost.Cost{Allocated: 96 << 20, Worked: time.Second}
)

// longName is the i-th name of a length.
func longName(i, length int) string {
	name := fmt.Sprintf("n%d-", i)
	return name + strings.Repeat("x", length-len(name))
}

// projectsOf returns as many projects as a key can have.
func projectsOf() (names []v1alpha1.ProjectName) {
	for i := range 64 {
		names = append(names, v1alpha1.ProjectName(longName(i, 63)))
	}
	return names
}

// largestGroup returns a Group at the limits of its schema, with so many routes per project.
func largestGroup(w *testenv.World, routes int) *v1alpha1.Group {
	g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
	g.Spec.DisplayName = strings.Repeat("é", 128)
	g.Spec.Context = map[string]v1alpha1.ContextValue{}
	for i := range 32 {
		g.Spec.Context[fmt.Sprint("name", i)] = v1alpha1.ContextValue(strings.Repeat("c", 1024))
		g.Spec.Capabilities = append(g.Spec.Capabilities, v1alpha1.Capability{
			Name: v1alpha1.PermissionName(longName(i, 63)), Routes: []v1alpha1.Route{{Methods: []string{"POST"},
				Paths: []string{fmt.Sprint("/c", i)}}},
		})
	}
	for _, name := range projectsOf() {
		project := v1alpha1.Project{Name: name}
		for i := range routes {
			project.Routes = append(project.Routes, v1alpha1.Route{
				Hosts: []string{"*." + longName(i, 60) + ".example"}, Methods: []string{"GET", "HEAD"},
				Paths: []string{fmt.Sprintf("/%.3s/*%s*/%d/**", name, strings.Repeat("a", 90), i)},
				Query: map[string]v1alpha1.QueryValues{"siteId": {"1", "2"}},
			})
		}
		g.Spec.Projects = append(g.Spec.Projects, project)
	}
	return g
}

// largestKey is an ApiKey at the limits of its schema.
func largestKey(w *testenv.World, change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
	k := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: longName(0, 253)}}
	k.Spec.GroupRef.Name, k.Spec.Projects = "acme", projectsOf()
	k.Spec.Permissions = []v1alpha1.PermissionName{v1alpha1.PermissionRead}
	for i := range 32 {
		k.Spec.Permissions = append(k.Spec.Permissions, v1alpha1.PermissionName(longName(i, 63)))
	}
	k.Spec.Description = strings.Repeat("é", 500)
	k.Spec.Rotation.Trigger = strings.Repeat("é", 256)
	template := &k.Spec.Secret.Template
	template.Labels, template.Annotations, template.Data = map[string]v1alpha1.LabelValue{}, map[string]v1alpha1.AnnotationValue{},
		map[string]v1alpha1.EntryTemplate{}
	for i := range 32 {
		name := longName(i, 63)
		template.Labels[strings.Repeat("a", 252)+"/"+name] = v1alpha1.LabelValue(name)
		template.Annotations[strings.Repeat("a", 252)+"/"+name] = v1alpha1.AnnotationValue(strings.Repeat("é", 49152/32))
	}
	for i := range 16 {
		text := strings.Repeat(`{{ .Projects | b64enc }}`, 2) + strings.Repeat(`{{""}}`, 254)
		template.Data[longName(i, 253)] = v1alpha1.EntryTemplate(text + strings.Repeat("x", 4096-len(text)))
		k.Spec.Secret.Restart = append(k.Spec.Secret.Restart, v1alpha1.Workload{Kind: "Deployment", Name: longName(i, 253)})
	}
	testenv.Importing(longName(1, 253), longName(1, 253))(k)
	for _, f := range change {
		f(k)
	}
	return k
}

// largestAllowlist is a DomainAllowlist at the limits of its schema.
func largestAllowlist(w *testenv.World, change ...func(*v1alpha1.DomainAllowlist)) *v1alpha1.DomainAllowlist {
	l := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: longName(0, 253)}}
	l.Spec.GroupRef.Name, l.Spec.Projects = "acme", projectsOf()
	for i := range 256 {
		l.Spec.Domains = append(l.Spec.Domains, fmt.Sprintf("https://*.b%dü.%s.%s.%s.example:8443", i, longName(i, 60),
			longName(i, 60), longName(i, 60)))
	}
	for _, f := range change {
		f(l)
	}
	return l
}

// review calls the manager's webhook with an object as the API server would, in this process.
func review(operation admissionv1.Operation, kind string, old, object client.Object) (answer *admissionv1.AdmissionResponse, is cost.Cost) {
	GinkgoHelper()
	raw := func(object client.Object) k8sruntime.RawExtension {
		if object == nil {
			return k8sruntime.RawExtension{}
		}
		text, err := json.Marshal(object)
		Expect(err).NotTo(HaveOccurred())
		return k8sruntime.RawExtension{Raw: text}
	}
	asked := admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
		UID: "1", Operation: operation, Object: raw(object), OldObject: raw(old),
		Kind:     metav1.GroupVersionKind{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Kind: kind},
		UserInfo: authenticationv1.UserInfo{Username: "somebody", Groups: []string{"system:masters"}},
	}}
	asked.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
	body, err := json.Marshal(asked)
	Expect(err).NotTo(HaveOccurred())
	path := "/validate-keyward-dev-v1alpha1-" + strings.ToLower(kind)
	var recorder *httptest.ResponseRecorder
	is, _ = cost.Within(admissionBound, func() {
		recorder = httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		testenv.Manager.GetWebhookServer().WebhookMux().ServeHTTP(recorder, request)
	})
	answered := admissionv1.AdmissionReview{}
	if recorder.Code != http.StatusOK {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Code: int32(recorder.Code), Message: recorder.Body.String()}}, is
	}
	Expect(json.Unmarshal(recorder.Body.Bytes(), &answered)).To(Succeed())
	return answered.Response, is
}

func within(bound, is cost.Cost, what string) {
	GinkgoHelper()
	AddReportEntry(what, fmt.Sprintf("%d KiB, %v", is.Allocated>>10, is.Worked), ReportEntryVisibilityFailureOrVerbose)
	Expect(is.Within(bound)).To(BeTrue(), "%s: %+v", what, is)
}

var _ = Describe("The cost", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		runtime.GC()
	})
	// group stores the largest Group that is accepted.
	group := func(ctx context.Context) *v1alpha1.Group {
		GinkgoHelper()
		for routes := 32; routes > 0; routes /= 2 {
			g := largestGroup(w, routes)
			if err := testenv.Admin.Create(ctx, g); err == nil {
				Eventually(func() error {
					return testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(g), &v1alpha1.Group{})
				}).Should(Succeed())
				AddReportEntry("routes of each project", routes)
				return g
			}
		}
		Fail("no large Group is accepted")
		return nil
	}

	It("of admitting the largest objects is bounded, and they are admitted", func(ctx SpecContext) {
		g := group(ctx)
		answer, is := review(admissionv1.Create, "Group", nil, g)
		Expect(answer.Allowed).To(BeTrue(), "%v", answer.Result)
		within(admissionBound, is, "creating a Group")

		key, list := largestKey(w), largestAllowlist(w)
		Expect(testenv.Admin.Create(ctx, key.DeepCopy())).To(Succeed(), "what the schema bounds it admits")
		Expect(testenv.Admin.Create(ctx, list.DeepCopy())).To(Succeed())
		answer, is = review(admissionv1.Create, "ApiKey", nil, key)
		Expect(answer.Allowed).To(BeTrue(), "%v", answer.Result)
		within(admissionBound, is, "creating an ApiKey")
		answer, is = review(admissionv1.Update, "ApiKey", key, largestKey(w, func(k *v1alpha1.ApiKey) { k.Spec.Description = "x" }))
		Expect(answer.Allowed).To(BeTrue(), "%v", answer.Result)
		within(admissionBound, is, "updating an ApiKey")
		answer, is = review(admissionv1.Create, "DomainAllowlist", nil, list)
		Expect(answer.Allowed).To(BeTrue(), "%v", answer.Result)
		within(admissionBound, is, "creating a DomainAllowlist")

		changed := g.DeepCopy()
		changed.Spec.Projects = changed.Spec.Projects[1:]
		_, is = review(admissionv1.Update, "Group", g, changed)
		within(admissionBound, is, "updating a Group")
	})

	It("of refusing them is bounded, and so is the message", func(ctx SpecContext) {
		group(ctx)
		for name, object := range map[string]client.Object{
			"a project that is not there":    largestKey(w, func(k *v1alpha1.ApiKey) { k.Spec.Projects[63] = "other" }),
			"a capability that is not there": largestKey(w, func(k *v1alpha1.ApiKey) { k.Spec.Permissions[32] = "other" }),
			"a template": largestKey(w, func(k *v1alpha1.ApiKey) {
				k.Spec.Secret.Template.Data["z"] = "{{ ." + v1alpha1.EntryTemplate(strings.Repeat("x", 900)) + " }}"
			}),
			"a domain": largestAllowlist(w, func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains[255] = strings.Repeat("é", 272) }),
		} {
			kind := map[bool]string{true: "ApiKey", false: "DomainAllowlist"}[strings.Contains(fmt.Sprintf("%T", object), "ApiKey")]
			answer, is := review(admissionv1.Create, kind, nil, object)
			within(admissionBound, is, "answering "+name)
			if strings.Contains(name, "not there") { // another object may get it
				Expect(answer.Warnings).NotTo(BeEmpty(), name)
				Expect(len(strings.Join(answer.Warnings, ""))).To(BeNumerically("<", 10_000), name)
				continue
			}
			Expect(answer.Allowed).To(BeFalse(), name)
			Expect(len(answer.Result.Message)).To(BeNumerically("<", 10_000), name)
		}
	})

	It("of objects that no schema has checked is bounded", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		const large = 1 << 20
		key := func(change func(*v1alpha1.ApiKey)) client.Object { return w.NewKey(change) }
		for name, object := range map[string]client.Object{
			"a long template": key(func(k *v1alpha1.ApiKey) {
				k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{"a": v1alpha1.EntryTemplate(strings.Repeat("{{", large/2))}
			}),
			"a chain of functions": key(func(k *v1alpha1.ApiKey) {
				text := "{{ if .Projects" + strings.Repeat("|b64enc", 54) + "}}{{ end }}"
				k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{"a": v1alpha1.EntryTemplate(text)}
			}),
			"a long duration": key(func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Every = v1alpha1.Duration(strings.Repeat("1d", large/2)) }),
			"a long project": key(func(k *v1alpha1.ApiKey) {
				k.Spec.Projects = []v1alpha1.ProjectName{v1alpha1.ProjectName(strings.Repeat("x", large))}
			}),
			"a long Secret":   key(testenv.Importing(strings.Repeat("x", large), "a")),
			"many workloads":  key(func(k *v1alpha1.ApiKey) { k.Spec.Secret.Restart = make([]v1alpha1.Workload, 1024) }),
			"a long name":     key(func(k *v1alpha1.ApiKey) { k.Name = strings.Repeat("x", large) }),
			"an endless list": key(func(k *v1alpha1.ApiKey) { k.Status.Versions = make([]v1alpha1.KeyVersion, 20_000) }),
			"a long domain": w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) {
				l.Spec.Domains = []string{strings.Repeat("é一", large/8)}
			}),
			"many groups of text": w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) { l.Spec.GroupRef.Name = strings.Repeat("a/", large) }),
		} {
			kind := map[bool]string{true: "ApiKey", false: "DomainAllowlist"}[strings.Contains(fmt.Sprintf("%T", object), "ApiKey")]
			_, is := review(admissionv1.Create, kind, nil, object)
			within(admissionBound, is, "being asked about "+name)
		}
	})

	It("of a reconciliation is bounded", func(ctx SpecContext) {
		group(ctx)
		key := largestKey(w, func(k *v1alpha1.ApiKey) { k.Spec.ImportFrom, k.Spec.Secret.Restart = nil, nil })
		Expect(testenv.Admin.Create(ctx, key)).To(Succeed())
		list := largestAllowlist(w)
		Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
		Eventually(func() error {
			return testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(list), &v1alpha1.DomainAllowlist{})
		}).Should(Succeed())
		Eventually(func(g Gomega) {
			is := cost.Of(func() {
				_, err := w.ReconcileKey(ctx, key.Name)
				g.Expect(client.IgnoreAlreadyExists(err)).NotTo(HaveOccurred())
			})
			within(reconcileBound, is, "reconciling an ApiKey")
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
			testenv.Ready(g, key)
		}).Should(Succeed())
		is := cost.Of(func() { Expect(w.ReconcileAllowlist(ctx, list.Name)).To(Succeed()) })
		within(reconcileBound, is, "reconciling a DomainAllowlist")
	})
})
