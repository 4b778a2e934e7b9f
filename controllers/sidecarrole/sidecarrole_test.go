package sidecarrole_test

import (
	"context"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/sidecarrole"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// manager is the user that the controller runs as: with the shipped ClusterRole, and nothing else.
const manager = "system:serviceaccount:keyward-system:keyward-manager"

// start runs the controller under the manager's shipped ClusterRole.
func start(ctx context.Context) {
	GinkgoHelper()
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	Expect(yaml.Unmarshal(text, role)).To(Succeed()) // the first document
	Expect(role.Name).To(Equal("keyward-manager"))
	Expect(testenv.Admin.Create(ctx, role)).To(Succeed())
	Expect(testenv.Admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "keyward-manager"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: manager}},
	})).To(Succeed())
	config := rest.CopyConfig(testenv.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: manager, Groups: []string{"system:authenticated"}}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: controllers.Scheme(), Cache: controllers.CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
	})
	Expect(err).NotTo(HaveOccurred())
	reconciler := &sidecarrole.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("keyward")}
	Expect(reconciler.Setup(mgr)).To(Succeed())
	running, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})
}

// mayValidate reports whether a ServiceAccount may validate for the Group.
func mayValidate(ctx context.Context, serviceAccount, of, namespace, group string) func() bool {
	return func() bool {
		GinkgoHelper()
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + of + ":" + serviceAccount,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + of, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: "keyward.dev", Resource: "groups", Verb: "validate", Namespace: namespace, Name: group,
			},
		}}
		Expect(testenv.Admin.Create(ctx, review)).To(Succeed())
		return review.Status.Allowed
	}
}

// annotate sets annotations and labels of a namespace.
func annotate(ctx context.Context, namespace string, labels, annotations map[string]string) {
	GinkgoHelper()
	object := &corev1.Namespace{}
	Expect(testenv.Admin.Get(ctx, client.ObjectKey{Name: namespace}, object)).To(Succeed())
	before := object.DeepCopy()
	for name, value := range labels {
		metav1.SetMetaDataLabel(&object.ObjectMeta, name, value)
	}
	for name, value := range annotations {
		metav1.SetMetaDataAnnotation(&object.ObjectMeta, name, value)
	}
	Expect(testenv.Admin.Patch(ctx, object, client.MergeFrom(before))).To(Succeed())
}

var (
	enabled   = map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}
	automatic = map[string]string{v1alpha1.AnnotationInjectionRoles: v1alpha1.InjectionRolesAutomatic}
)

func consenting(g *v1alpha1.Group) { g.Annotations = automatic }

var _ = Describe("The Role of sidecars", Ordered, func() {
	var w *testenv.World
	BeforeAll(func(ctx SpecContext) { start(ctx) })
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	It("exists while the Namespace and the Group say so, and is for that Group and that namespace only", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		annotate(ctx, w.Namespace, enabled, automatic)
		annotate(ctx, other.Namespace, enabled, automatic)
		w.CreateGroup(ctx, consenting)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = "silent" })
		Eventually(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme")).Should(BeTrue())
		Expect(mayValidate(ctx, "content", w.Namespace, w.Namespace, "silent")()).To(BeFalse(), "its owner has not allowed it")
		Expect(mayValidate(ctx, "content", other.Namespace, w.Namespace, "acme")()).To(BeFalse(), "it is a tenant in another namespace")

		By("the Group's owner withdrawing it")
		group := &v1alpha1.Group{}
		Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, group)).To(Succeed())
		group.Annotations = nil
		Expect(testenv.Admin.Update(ctx, group)).To(Succeed())
		Eventually(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme")).Should(BeFalse())
		Eventually(func() error {
			return testenv.Admin.Get(ctx, w.Request(sidecarrole.Name("acme")).NamespacedName, &rbacv1.Role{})
		}).Should(MatchError(apierrors.IsNotFound, "IsNotFound"))
	})

	It("appears and disappears with what the Namespace says", func(ctx SpecContext) {
		w.CreateGroup(ctx, consenting)
		annotate(ctx, w.Namespace, nil, automatic)
		Consistently(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme"), "200ms").Should(BeFalse(), "sidecars are not allowed")
		annotate(ctx, w.Namespace, enabled, nil)
		Eventually(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme")).Should(BeTrue())
		annotate(ctx, w.Namespace, nil, map[string]string{v1alpha1.AnnotationInjectionRoles: ""})
		Eventually(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme")).Should(BeFalse())
	})

	It("is corrected when somebody changes it", func(ctx SpecContext) {
		annotate(ctx, w.Namespace, enabled, automatic)
		group := w.CreateGroup(ctx, consenting)
		Eventually(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme")).Should(BeTrue())
		role := &rbacv1.Role{}
		Expect(testenv.Admin.Get(ctx, w.Request(sidecarrole.Name("acme")).NamespacedName, role)).To(Succeed())
		Expect(metav1.IsControlledBy(role, group)).To(BeTrue(), "the garbage collector deletes it with the Group")
		role.Rules[0].ResourceNames = []string{"another"}
		Expect(testenv.Admin.Update(ctx, role)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(role), role)).To(Succeed())
			g.Expect(role.Rules[0].ResourceNames).To(Equal([]string{"acme"}))
		}).Should(Succeed())

		binding := &rbacv1.RoleBinding{}
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(role), binding)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, binding)).To(Succeed())
		Eventually(func() error { return testenv.Admin.Get(ctx, client.ObjectKeyFromObject(role), binding) }).Should(Succeed())
		Eventually(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme")).Should(BeTrue())

		By("a binding to a ClusterRole that has the Role's name")
		wider := binding.DeepCopy()
		wider.ResourceVersion, wider.UID, wider.RoleRef.Kind = "", "", "ClusterRole"
		Eventually(func() error { // between its deletion and its return
			_ = testenv.Admin.Delete(ctx, binding)
			return testenv.Admin.Create(ctx, wider.DeepCopy())
		}).Should(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(role), binding)).To(Succeed())
			g.Expect(binding.RoleRef.Kind).To(Equal("Role"))
		}).Should(Succeed())
	})

	It("leaves an object of its name as it is, and says so", func(ctx SpecContext) {
		theirs := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: sidecarrole.Name("acme")}}
		Expect(testenv.Admin.Create(ctx, theirs)).To(Succeed())
		annotate(ctx, w.Namespace, enabled, automatic)
		w.CreateGroup(ctx, consenting)
		Eventually(func(g Gomega) {
			list := &corev1.EventList{}
			g.Expect(testenv.Admin.List(ctx, list, client.InNamespace(w.Namespace))).To(Succeed())
			g.Expect(list.Items).To(ContainElement(And(HaveField("Reason", v1alpha1.ReasonRoleConflict),
				HaveField("Message", ContainSubstring("keyward-sidecars-acme exists and is not Keyward's")))))
		}).Should(Succeed())
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(theirs), theirs)).To(Succeed())
		Expect(theirs.Rules).To(BeEmpty())
		Expect(mayValidate(ctx, "content", w.Namespace, w.Namespace, "acme")()).To(BeFalse())
	})
})
