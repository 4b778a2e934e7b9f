package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// What one object shows to be wrong is refused by its schema, with the field and a hint.
var _ = Describe("The schema", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	refused := func(err error, mentions ...string) {
		GinkgoHelper()
		Expect(err).To(HaveOccurred())
		for _, mention := range mentions {
			Expect(err.Error()).To(ContainSubstring(mention))
		}
	}

	It("accepts addresses of both families, 64 of them", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Clients = v1alpha1.ClientsServer
			k.Spec.Addresses = append(prefixes(slices.Repeat([]string{"192.0.2.0/24"}, 62)...), prefixes("2001:db8::/32", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128")...)
		})
		empty := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "ApiKey", "metadata": map[string]any{"namespace": w.Namespace, "name": "none"},
			"spec": map[string]any{"groupRef": map[string]any{"name": "acme"}, "projects": []any{"marketing"}, "addresses": []any{}},
		}}
		refused(testenv.Admin.Create(ctx, empty), "spec.addresses")
	})

	DescribeTable("refuses an ApiKey", func(ctx SpecContext, change func(*v1alpha1.ApiKey), mentions ...string) {
		w.CreateGroup(ctx)
		refused(testenv.Admin.Create(ctx, w.NewKey(change)), mentions...)
	},
		Entry("without a group", func(k *v1alpha1.ApiKey) { k.Spec.GroupRef = v1alpha1.GroupReference{} }, "spec.groupRef"),
		Entry("without projects", func(k *v1alpha1.ApiKey) { k.Spec.Projects = nil }, "spec.projects"),
		Entry("with a project twice", func(k *v1alpha1.ApiKey) {
			k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "marketing"}
		}, "spec.projects", "each is named once; remove the duplicate"),
		Entry("with a permission twice", func(k *v1alpha1.ApiKey) {
			k.Spec.Permissions = []v1alpha1.PermissionName{"read", "read"}
		}, "spec.permissions", "each is named once"),
		Entry("with a day of its window twice", func(k *v1alpha1.ApiKey) {
			k.Spec.Rotation.Window = &v1alpha1.RotationWindow{Days: []v1alpha1.Weekday{"Sat", "Sat"}}
		}, "spec.rotation.window.days", "each is named once"),
		Entry("with a wildcard project", func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"*"} }, "spec.projects[0]"),
		Entry("with clients that are none", func(k *v1alpha1.ApiKey) { k.Spec.Clients = "Human" }, "spec.clients"),
		Entry("with an address without a length", func(k *v1alpha1.ApiKey) { k.Spec.Addresses = prefixes("192.0.2.7") }, "spec.addresses[0]",
			"such as 192.0.2.0/24, 192.0.2.7/32"),
		Entry("with an address that is none", func(k *v1alpha1.ApiKey) { k.Spec.Addresses = prefixes("192.0.2.0/24", "192.0.2.300/32") },
			"spec.addresses[1]"),
		Entry("with a mapped address", func(k *v1alpha1.ApiKey) { k.Spec.Addresses = prefixes("::ffff:192.0.2.0/120") }, "without ::ffff:"),
		Entry("with bits after the prefix", func(k *v1alpha1.ApiKey) { k.Spec.Addresses = prefixes("192.0.2.7/24") }, "bits after the prefix are set"),
		Entry("with all addresses", func(k *v1alpha1.ApiKey) { k.Spec.Addresses = prefixes("::/0") }, "leave addresses out"),
		Entry("with 65 addresses", func(k *v1alpha1.ApiKey) { k.Spec.Addresses = prefixes(slices.Repeat([]string{"192.0.2.0/24"}, 65)...) },
			"spec.addresses", "at most 64"),
		Entry("with a description of 501 characters", func(k *v1alpha1.ApiKey) { k.Spec.Description = strings.Repeat("ä", 501) },
			"spec.description"),
		Entry("with two expiries", func(k *v1alpha1.ApiKey) {
			k.Spec.ExpiresAfter = "30d"
			k.Spec.ExpiresAt = ptr.To(k.CreationTimestamp)
			k.Spec.ExpiresAt.Time = w.Clock.Now()
		}, "expiresAfter and expiresAt exclude each other; remove one"),
		Entry("with a lifetime that is none", func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "soon" }, "spec.expiresAfter",
			"such as 90d"),
		Entry("with units out of order", func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "1h1d" }, "spec.expiresAfter"),
		Entry("with a Secret name that is none", func(k *v1alpha1.ApiKey) { k.Spec.Secret.Name = "Web_Key" }, "spec.secret.name"),
		Entry("with an entry in place of the key", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{"api-key": "x"}
		}, "api-key holds the key itself; choose another name"),
		Entry("with an entry name that is none", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{"a/b": "x"}
		}, "spec.secret.template.data"),
		Entry("with a label of the operator's", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{v1alpha1.LabelManagedBy: "me"}
		}, "are set by the operator"),
		Entry("with a label value that is none", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"team": "the web"}
		}, "spec.secret.template.labels"),
		Entry("with a label whose prefix is no domain", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"a..b/z": "a"}
		}, "names must be qualified Kubernetes label names"),
		Entry("with an annotation whose prefix is no domain", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Annotations = map[string]v1alpha1.AnnotationValue{"a-.b/z": "a", "a.example/z": "a"}
		}, "names must be qualified Kubernetes annotation names"),
		Entry("with an annotation whose prefix is too long", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Annotations = map[string]v1alpha1.AnnotationValue{strings.Repeat("a", 254) + "/z": "a"}
		}, "names must be qualified Kubernetes annotation names"),
		Entry("with an annotation of the operator's", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Annotations = map[string]v1alpha1.AnnotationValue{v1alpha1.AnnotationVersion: "9"}
		}, "are set by the operator"),
		Entry("with a burst and no rate", func(k *v1alpha1.ApiKey) { k.Spec.Limits.Burst = ptr.To[int32](5) },
			"spec.limits.burst", "a burst means nothing without requestsPerSecond; set it, or remove burst"),
		Entry("with a rate of nothing", func(k *v1alpha1.ApiKey) { k.Spec.Limits.RequestsPerSecond = ptr.To[int32](0) },
			"spec.limits.requestsPerSecond"),
		Entry("with a rate of too much", func(k *v1alpha1.ApiKey) { k.Spec.Limits.RequestsPerSecond = ptr.To[int32](1_000_001) },
			"spec.limits.requestsPerSecond"),
		Entry("with a quota below nothing", func(k *v1alpha1.ApiKey) { k.Spec.Limits.RequestsPerMonth = ptr.To[int64](-1) },
			"spec.limits.requestsPerMonth"),
		Entry("with a quota of too much", func(k *v1alpha1.ApiKey) { k.Spec.Limits.RequestsPerMonth = ptr.To[int64](1_000_000_000_000_001) },
			"spec.limits.requestsPerMonth"),
		Entry("with a type that Kubernetes has a meaning for", func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Type = "kubernetes.io/service-account-token"
		}, "use Opaque or a type of your own"),
	)

	It("refuses values of another type, with the field", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		object := &unstructured.Unstructured{}
		object.SetAPIVersion(v1alpha1.GroupVersion.String())
		object.SetKind("ApiKey")
		object.SetNamespace(w.Namespace)
		object.SetName("web")
		object.Object["spec"] = map[string]any{
			"groupRef": map[string]any{"name": "acme"}, "projects": []any{"marketing"}, "expiresAfter": int64(30), "suspended": "yes",
		}
		refused(testenv.Admin.Create(ctx, object), "spec.expiresAfter", "spec.suspended", `must be of type boolean`)
	})

	DescribeTable("refuses a change of an ApiKey", func(ctx SpecContext, first, change func(*v1alpha1.ApiKey), mentions ...string) {
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx, first)
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		change(key)
		refused(testenv.Admin.Update(ctx, key), mentions...)
	},
		Entry("of its group", func(*v1alpha1.ApiKey) {}, func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Name = "other" },
			"spec.groupRef", "create a new ApiKey for another Group"),
		Entry("of its Secret's name", func(k *v1alpha1.ApiKey) { k.Spec.Secret.Name = "a" },
			func(k *v1alpha1.ApiKey) { k.Spec.Secret.Name = "b" },
			"spec.secret.name", "create a new ApiKey for another Secret"),
		Entry("of its Secret's name, given later", func(*v1alpha1.ApiKey) {}, func(k *v1alpha1.ApiKey) { k.Spec.Secret.Name = "b" },
			"spec.secret.name", "create a new ApiKey for another Secret"),
		Entry("of its Group's namespace", func(*v1alpha1.ApiKey) {}, func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = "elsewhere" },
			"spec.groupRef", "create a new object for another Group"),
		Entry("of its Secret's name, taken back", func(k *v1alpha1.ApiKey) { k.Spec.Secret.Name = "a" },
			func(k *v1alpha1.ApiKey) { k.Spec.Secret.Name = "" },
			"spec.secret", "create a new ApiKey for another Secret"),
		Entry("of its Secret's type", func(*v1alpha1.ApiKey) {},
			func(k *v1alpha1.ApiKey) { k.Spec.Secret.Template.Type = "example.com/mine" },
			"spec.secret.template.type"),
	)

	It("keeps a key revoked without the webhook, too", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) })
		webhooks := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "keyward-mutating"}}
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(webhooks), webhooks)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, webhooks.DeepCopy())).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			webhooks.ResourceVersion, webhooks.UID = "", ""
			Expect(testenv.Admin.Create(ctx, webhooks)).To(Succeed())
			Eventually(func(g Gomega) { // the API server may lag
				probe := w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "probe" })
				g.Expect(testenv.Admin.Create(ctx, probe, client.DryRunAll)).To(Succeed())
				g.Expect(probe.Annotations).To(HaveKey(v1alpha1.AnnotationCreatedBy))
			}).Should(Succeed())
		})
		for _, patch := range []string{`{"spec":{"revoked":false}}`, `{"spec":{"revoked":null}}`} {
			Eventually(func() error { // the API server may lag
				return testenv.Admin.Patch(ctx, key.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
			}).Should(MatchError(And(ContainSubstring("spec.revoked"), ContainSubstring("a revocation cannot be undone; create a new ApiKey instead"))))
		}
	})

	It("accepts contacts of both kinds, and days of unused keys", func(ctx SpecContext) {
		w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.WarnUnusedFor, g.Spec.KeyPolicy.SuspendUnusedFor = "9d", "10d" // as numbers, not as texts
			g.Spec.Contacts = []v1alpha1.Contact{
				{Name: "ops-1", Email: "ops+keys@sub.acme.example", Events: []v1alpha1.EventPattern{"dev.keyward.notice.*", "*"}},
				{Name: "hook", URL: "https://hooks.acme.example:8443/a/b?c=d%20e"},
				{Name: "bare", URL: "https://hooks.acme.example"},
			}
		})
	})

	DescribeTable("refuses a Group", func(ctx SpecContext, change func(*v1alpha1.Group), mentions ...string) {
		g := &v1alpha1.Group{}
		g.Namespace, g.Name = w.Namespace, "acme"
		change(g)
		refused(testenv.Admin.Create(ctx, g), mentions...)
	},
		Entry("with a burst of too much", func(g *v1alpha1.Group) { g.Spec.Limits.Burst = ptr.To[int32](1_000_001) }, "spec.limits.burst"),
		Entry("with a part of a byte", func(g *v1alpha1.Group) { g.Spec.Limits.BytesPerMonth = ptr.To(resource.MustParse("0.0000001")) },
			"spec.limits.bytesPerMonth", "a whole number of bytes of at least 1 and less than 1E, such as 100G"),
		Entry("with a quota of no bytes", func(g *v1alpha1.Group) { g.Spec.Limits.BytesPerMonth = ptr.To(resource.MustParse("0G")) },
			"spec.limits.bytesPerMonth", "a whole number of bytes of at least 1 and less than 1E, such as 100G"),
		Entry("with a quota of an exabyte", func(g *v1alpha1.Group) { g.Spec.Limits.BytesPerMonth = ptr.To(resource.MustParse("1E")) },
			"spec.limits.bytesPerMonth", "less than 1E"),
		Entry("that suspends keys before it warns", func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.WarnUnusedFor, g.Spec.KeyPolicy.SuspendUnusedFor = "30d", "30d"
		}, "spec.keyPolicy.suspendUnusedFor", "at least a day more than warnUnusedFor"),
		Entry("that suspends keys of holidays", func(g *v1alpha1.Group) { g.Spec.KeyPolicy.SuspendUnusedFor = "6d" },
			"spec.keyPolicy.suspendUnusedFor", "at least 7d"),
		Entry("that warns after no days", func(g *v1alpha1.Group) { g.Spec.KeyPolicy.WarnUnusedFor = "0d" }, "spec.keyPolicy.warnUnusedFor"),
		Entry("that warns after a part of a day", func(g *v1alpha1.Group) { g.Spec.KeyPolicy.WarnUnusedFor = "36h" }, "spec.keyPolicy.warnUnusedFor"),
		Entry("that warns after years", func(g *v1alpha1.Group) { g.Spec.KeyPolicy.WarnUnusedFor = "1000d" }, "spec.keyPolicy.warnUnusedFor"),
		Entry("with a contact who cannot be notified", contact(v1alpha1.Contact{Name: "a"}), "spec.contacts[0]", "either a url or an email"),
		Entry("with a contact in two ways", contact(v1alpha1.Contact{Name: "a", URL: "https://a.example", Email: "a@a.example"}),
			"spec.contacts[0]", "either a url or an email"),
		Entry("with a contact twice", func(g *v1alpha1.Group) {
			g.Spec.Contacts = slices.Repeat([]v1alpha1.Contact{{Name: "a", Email: "a@a.example"}}, 2)
		}, "spec.contacts[1]", "Duplicate"),
		Entry("with 17 contacts", func(g *v1alpha1.Group) {
			for i := range 17 {
				g.Spec.Contacts = append(g.Spec.Contacts, v1alpha1.Contact{Name: fmt.Sprint("a", i), Email: "a@a.example"})
			}
		}, "spec.contacts", "at most 16"),
		Entry("with a contact whose name is none", contact(v1alpha1.Contact{Name: "A b", Email: "a@a.example"}), "spec.contacts[0].name"),
		Entry("with a contact over http", contact(v1alpha1.Contact{Name: "a", URL: "http://a.example"}), "spec.contacts[0].url", "begins with https://"),
		Entry("with a contact whose URL has a user", contact(v1alpha1.Contact{Name: "a", URL: "https://me:secret@a.example/"}),
			"spec.contacts[0].url", "has no user"),
		Entry("with a contact whose URL has no host", contact(v1alpha1.Contact{Name: "a", URL: "https:///hook"}), "spec.contacts[0].url"),
		Entry("with a contact whose URL has two lines", contact(v1alpha1.Contact{Name: "a", URL: "https://a.example/a\nb"}), "spec.contacts[0].url"),
		Entry("with a contact whose address is none", contact(v1alpha1.Contact{Name: "a", Email: "a.example"}), "spec.contacts[0].email",
			"such as jane@acme.example"),
		Entry("with a contact whose address has a name", contact(v1alpha1.Contact{Name: "a", Email: "Jane <jane@acme.example>"}), "spec.contacts[0].email"),
		Entry("with a contact whose address has two lines", contact(v1alpha1.Contact{Name: "a", Email: "a@a.example\nBcc"}), "spec.contacts[0].email"),
		Entry("with a contact of no events", contact(v1alpha1.Contact{Name: "a", Email: "a@a.example", Events: []v1alpha1.EventPattern{""}}),
			"spec.contacts[0].events[0]"),
		Entry("with a contact of an event that is none", contact(v1alpha1.Contact{Name: "a", Email: "a@a.example", Events: []v1alpha1.EventPattern{"a b"}}),
			"spec.contacts[0].events[0]"),
		Entry("with a contact of the same events twice", contact(v1alpha1.Contact{
			Name: "a", Email: "a@a.example", Events: []v1alpha1.EventPattern{"*", "*"},
		}), "spec.contacts[0].events[1]", "Duplicate"),
		Entry("with an unknown state", func(g *v1alpha1.Group) { g.Spec.State = "Paused" }, "spec.state", "Frozen"),
		Entry("with a project twice", func(g *v1alpha1.Group) { g.Spec.Projects = []v1alpha1.Project{{Name: "a"}, {Name: "a"}} },
			"spec.projects[1]", "Duplicate"),
		Entry("with a route of nothing", func(g *v1alpha1.Group) {
			g.Spec.Projects = []v1alpha1.Project{{Name: "a", Routes: []v1alpha1.Route{{}}}}
		}, "spec.projects[0].routes[0]"),
		Entry("with a relative path", func(g *v1alpha1.Group) {
			g.Spec.Projects = []v1alpha1.Project{{Name: "a", Routes: []v1alpha1.Route{{Paths: []string{"api"}}}}}
		}, "spec.projects[0].routes[0].paths[0]"),
		Entry("with a subtree in the middle of a path", func(g *v1alpha1.Group) {
			g.Spec.Projects = []v1alpha1.Project{{Name: "a", Routes: []v1alpha1.Route{{Paths: []string{"/a/**/b"}}}}}
		}, "spec.projects[0].routes[0]"),
		Entry("with a host that has a port", func(g *v1alpha1.Group) {
			g.Spec.Projects = []v1alpha1.Project{{Name: "a", Routes: []v1alpha1.Route{{Hosts: []string{"a.example:80"}}}}}
		}, "spec.projects[0].routes[0].hosts[0]"),
		Entry("with a method in lower case", func(g *v1alpha1.Group) {
			g.Spec.Capabilities = []v1alpha1.Capability{{Name: "a", Routes: []v1alpha1.Route{{Methods: []string{"post"}}}}}
		}, "spec.capabilities[0].routes[0].methods[0]"),
		Entry("with a capability named read", func(g *v1alpha1.Group) {
			g.Spec.Capabilities = []v1alpha1.Capability{{Name: "read", Routes: []v1alpha1.Route{{Methods: []string{"POST"}}}}}
		}, "read is built in"),
		Entry("with context names that differ in case only", func(g *v1alpha1.Group) {
			g.Spec.Context = map[string]v1alpha1.ContextValue{"bucket": "a", "Bucket": "b"}
		}, "rename one"),
		Entry("with a context name that is no header's", func(g *v1alpha1.Group) {
			g.Spec.Context = map[string]v1alpha1.ContextValue{"my bucket": "a"}
		}, "names are letters and digits"),
		Entry("with a context value that would add a header", func(g *v1alpha1.Group) {
			g.Spec.Context = map[string]v1alpha1.ContextValue{"bucket": "a\r\nX-Admin: 1"}
		}, "spec.context"),
		Entry("that lets keys set what would be the same header as a value of its own", func(g *v1alpha1.Group) {
			g.Spec.Context = map[string]v1alpha1.ContextValue{"bucket": "a"}
			g.Spec.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"plan", "Bucket"}
		}, "spec.keyPolicy.keysMaySet", "write both alike"),
		Entry("that lets keys set two names of the same header", func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"plan", "Plan"}
		}, "spec.keyPolicy.keysMaySet", "remove one"),
		Entry("that lets keys set a name that is no header's", func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.KeysMaySet = []v1alpha1.ContextName{"my plan"}
		}, "spec.keyPolicy.keysMaySet[0]"),
		Entry("whose keys may have more values together with it than a Group alone", func(g *v1alpha1.Group) {
			g.Spec.Context = map[string]v1alpha1.ContextValue{"plan": "a"}
			g.Spec.KeyPolicy.KeysMaySet = names(32)
		}, "spec.keyPolicy.keysMaySet", "at most 32 names together"),
		Entry("with sealed names that differ in case only", func(g *v1alpha1.Group) {
			ref := v1alpha1.SecretKeyReference{Name: "a", Key: "b"}
			g.Spec.SealedContext = []v1alpha1.SealedContext{{Name: "mail", SecretKeyRef: ref}, {Name: "Mail", SecretKeyRef: ref}}
		}, "spec.sealedContext", "rename one"),
		Entry("with a sealed value of no Secret", func(g *v1alpha1.Group) {
			g.Spec.SealedContext = []v1alpha1.SealedContext{{Name: "mail"}}
		}, "spec.sealedContext[0].secretKeyRef"),
		Entry("with a prefix that has an underscore", func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Prefix = "my_kw" },
			"spec.keyPolicy.prefix"),
		Entry("with a default beyond the longest", func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.DefaultLifetime, g.Spec.KeyPolicy.MaxLifetime = "90d", "30d"
		},
			"spec.keyPolicy.defaultLifetime", "shorten it, or raise maxLifetime"),
		Entry("with a selector for All", func(g *v1alpha1.Group) {
			g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSelector
		}, "selector is for from: Selector, and required there"),
	)

	DescribeTable("refuses a DomainAllowlist", func(ctx SpecContext, change func(*v1alpha1.DomainAllowlist), mentions ...string) {
		w.CreateGroup(ctx)
		refused(testenv.Admin.Create(ctx, w.NewAllowlist(change)), mentions...)
	},
		Entry("with a domain twice", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"a.example", "a.example"} },
			"spec.domains", "each is named once"),
		Entry("with a path", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"acme.example/shop"} },
			"spec.domains[0]", "without a path"),
		Entry("with everything", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"*"} }, "spec.domains[0]"),
		Entry("with a whole top-level domain", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"*.example"} },
			"spec.domains[0]"),
		Entry("with a port that is none", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"acme.example:99999"} },
			"spec.domains[0]"),
		Entry("with another scheme", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"ftp://acme.example"} },
			"spec.domains[0]"),
		Entry("with the origin of anybody's sandboxed frame", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"null"} },
			"spec.domains[0]", "allow-same-origin"),
		Entry("with a public suffix", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"*.co.uk"} },
			"spec.domains[0]", "public suffix"),
		Entry("with a part of a public suffix", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"app-*.co.uk"} },
			"spec.domains[0]", "public suffix"),
		Entry("with two wildcards", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"*.app-*.acme.example"} },
			"spec.domains[0]", "a wildcard is in the first label"),
		Entry("with any extension", func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"chrome-extension://*"} },
			"spec.domains[0]"),
		Entry("with an unknown treatment of missing origins", func(l *v1alpha1.DomainAllowlist) { l.Spec.MissingOrigin = "Maybe" },
			"spec.missingOrigin"),
	)

	It("accepts everything that is documented, and sets defaults", func(ctx SpecContext) {
		w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.Projects[0].Routes = []v1alpha1.Route{{
				Hosts: []string{"cdn.acme.example", "*.acme.example"}, Paths: []string{"/api/scenes/mkt-*", "/media/**"},
				Methods: []string{"GET"}, Query: map[string]v1alpha1.QueryValues{"siteId": {"42"}},
			}}
			g.Spec.Context = map[string]v1alpha1.ContextValue{"database": "acme_prod", "bucketName": "acme media"}
			g.Spec.KeyPolicy.KeysMaySet = append(names(30), "database")
		})
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) {
			l.Spec.Domains = []string{"acme.example", "*.acme.example", "https://shop.acme.example:8443", "bücher.example",
				"https://[2001:db8::1]:8443", "https://app-*.preview.acme.example", "*-web.acme.example:8443", "capacitor://localhost",
				"tauri://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
				"moz-extension://0a5e3b2c-90d1-4f6a-8a43-123456789012"}
		}))).To(Succeed())
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Context = map[string]v1alpha1.ContextValue{"database": "trial", "n0": ""}
		})
		Expect(key.Spec.Permissions).To(Equal([]v1alpha1.PermissionName{v1alpha1.PermissionRead}))
		Expect(key.Spec.Secret.Template.Type).To(Equal("Opaque"))
	})
})

// prefixes are addresses as a key declares them.
func prefixes(texts ...string) []v1alpha1.AddressPrefix {
	all := make([]v1alpha1.AddressPrefix, 0, len(texts))
	for _, text := range texts {
		all = append(all, v1alpha1.AddressPrefix(text))
	}
	return all
}

// names are names of context values, from n0 on.
func names(n int) (list []v1alpha1.ContextName) {
	for i := range n {
		list = append(list, v1alpha1.ContextName(fmt.Sprint("n", i)))
	}
	return list
}

// contact is a change that adds a contact.
func contact(c v1alpha1.Contact) func(*v1alpha1.Group) {
	return func(g *v1alpha1.Group) { g.Spec.Contacts = []v1alpha1.Contact{c} }
}
