package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/sinks/cursor"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// exceptions are grants that no request of the test uses, with the reason why the manager has them.
var exceptions = map[string]string{
	"ClusterRole keyward-manager: update apikeys/finalizers.keyward.dev":    "asked by OwnerReferencesPermissionEnforcement, without a request",
	"ClusterRole keyward-manager: update groups/finalizers.keyward.dev":     "the same",
	"Role keyward-manager-namespace: update apikeys/finalizers.keyward.dev": "the same",
	"Role keyward-manager-namespace: update groups/finalizers.keyward.dev":  "the same",

	"ClusterRole keyward-manager: attest signers.certificates.k8s.io/keyward.dev/sync": "asked by the admission of ClusterTrustBundles",

	"ClusterRole keyward-manager: validate groups.keyward.dev":    "asked when it creates the Role of sidecars, which allows it, without a request",
	"Role keyward-manager-namespace: validate groups.keyward.dev": "the same",

	"ClusterRole keyward-manager: patch groupusages.keyward.dev":    "of one that was restored without its owner",
	"Role keyward-manager-namespace: patch groupusages.keyward.dev": "the same",

	"ClusterRole keyward-manager: delete grouplogs.keyward.dev":    "of segments that are older than logs are kept, after days",
	"Role keyward-manager-namespace: delete grouplogs.keyward.dev": "the same",

	"Role keyward-manager: get billingoutboxes.keyward.dev": "of one that somebody else has written",

	"Role keyward-manager: delete secrets":                 "of revoked texts, when all in one of them have expired, after months",
	"ClusterRole keyward-restart: patch statefulsets.apps": "the sample restarts a Deployment",
	"ClusterRole keyward-restart: patch daemonsets.apps":   "the same",

	"ClusterRole keyward-restart: patch rollouts.argoproj.io":            "of another project, whose kinds are not there",
	"ClusterRole keyward-restart: patch pushsecrets.external-secrets.io": "the same",

	"Role keyward-manager: create events": "of the election, for a manager without the identity of a Pod",
	"Role keyward-manager: patch events":  "the same, if it repeats",
}

func init() {
	for shard := range cursor.Shards {
		exceptions["Role keyward-manager: update configmaps/"+cursor.Name(shard)] = "of those that have a position: that depends on UIDs"
	}
}

// TestLeastPrivilege lives through everything that a manager does, under the shipped roles. No request of the manager is
// forbidden, each grant is used by some request, and validation servers send no request.
func TestLeastPrivilege(t *testing.T) {
	for name, test := range map[string]struct {
		overlay            string
		manager, validator []string // flags
	}{
		"cluster": {overlay: "config/local"},
		"namespaces": {
			"test/e2e/testdata/namespaced", []string{"--watch-namespaces=tenants,globex,initech,key-life"},
			[]string{"--namespace=tenants", "--namespace=globex", "--namespace=initech", "--namespace=key-life"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			requireKubernetes(t)
			c, err := startClusterWith((*cluster).startAuditedControlPlane, test.overlay)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.shutDown)
			w := &world{cluster: c, t: t, ctx: t.Context(), namespace: "key-life"}
			defer w.requireNothingForbidden() // also if the manager could not do something
			w.liveThroughEverything(test.manager, test.validator)
			w.requireEverythingUsed()
		})
	}
}

// requireEverythingUsed compares the roles with the audit log.
func (w *world) requireEverythingUsed() {
	t := w.t
	t.Helper()
	granted, err := w.grants(w.ctx)
	if err != nil || len(granted) == 0 {
		t.Fatal(len(granted), err)
	}
	err = poll(w.ctx, patience/2, func() error { // events are sent late
		requests, err := w.requests()
		if err != nil {
			return err
		}
		if unused := granted.unused(requests); len(unused) > 0 {
			return fmt.Errorf("no request has used these grants:\n  %s", strings.Join(unused, "\n  "))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for exception := range exceptions {
		role, what, _ := strings.Cut(exception, ":")
		bound, known := false, false
		for one := range granted { // some are in one of two roles
			bound, known = bound || one.role == role, known || strings.HasSuffix(one.String(), what)
		}
		if bound && !known {
			t.Errorf("there is an exception for %q, which is not granted", exception)
		}
	}
	t.Logf("%d grants", len(granted))
}

// requireNothingForbidden searches the audit log for refused requests.
func (w *world) requireNothingForbidden() {
	w.t.Helper()
	requests, err := w.requests()
	if err != nil {
		w.t.Fatal(err)
	}
	sent := 0
	for _, request := range requests {
		if request.User.Username == validatorUser {
			w.t.Errorf("a validation server sends %s %s", request.Verb, request.RequestURI)
			continue
		}
		sent++
		if code := request.ResponseStatus.Code; code == http.StatusUnauthorized || code == http.StatusForbidden {
			w.t.Errorf("forbidden: %s %s", request.Verb, request.RequestURI)
		}
	}
	if sent == 0 {
		w.t.Error("the audit log has no request of the manager")
	}
	w.t.Logf("%d requests of the manager", sent)
}

// liveThroughEverything does with Keyward what people do, so that the manager does everything that it does.
func (w *world) liveThroughEverything(ofManager, ofValidator []string) {
	w.t.Helper()
	t, setup := w.t, managerSetup{
		elect: true, startupGrace: quick,
		flags: append(ofManager, "--authority-overlap=1s", "--last-used-resolution=1s", "--sinks-file="+w.writeSinks(), "--billing-file="+w.writeBilling(),
			"--billing-look-interval=1s"),
		// Without streaming lists, as against earlier API servers. The last manager has them.
		environment: []string{"POD_NAME=keyward-manager-abc", "POD_UID=0b5e2e0c", "KUBE_FEATURE_WatchListClient=false"},
	}
	m := w.startManager(setup)
	w.awaitReady(m)
	w.awaitLeader()
	v := w.startValidator(validatorSetup{instance: "one", flags: ofValidator})
	v.awaitReady()
	for _, dir := range []string{"config/samples/patterns/per-tenant", "config/samples/life"} {
		eventually(t, dir+" to be admitted", patience, func() error {
			_, err := w.kubectl("apply", "--server-side", "-k", filepath.Join(root, dir))
			return err
		})
	}
	for _, namespaced := range []string{"tenants/platform-website", "globex/storefront", "initech/storefront", "key-life/catalogue",
		"key-life/partner", "key-life/kiosk"} {
		p := *w
		namespace, name, _ := strings.Cut(namespaced, "/")
		p.namespace = namespace
		p.awaitKey(name, "ready", isReady)
	}
	billed := w.createBilled()
	w.liveThroughKeys(v)
	w.liveThroughRequests("acme")
	w.liveThroughSidecars("acme")
	w.liveThroughTrust()
	w.liveThroughDeletions()
	w.liveThroughBilling(billed)
	w.awaitInstallation()
	w.awaitSink("dev.keyward.key.minted.v1", "dev.keyward.key.rotated.v1", "dev.keyward.key.revoked.v1", "dev.keyward.key.deleted.v1")

	m.stop(patience)
	w.awaitAuthoritiesOfFile(setup)
}

// awaitInstallation waits until the leader has said how Keyward is.
func (w *world) awaitInstallation() {
	w.t.Helper()
	eventually(w.t, "an Installation", patience, func() error {
		list := &v1alpha1.InstallationList{}
		if err := w.admin.List(w.ctx, list); err != nil {
			return err
		}
		if len(list.Items) != 1 || len(list.Items[0].Status.Conditions) == 0 {
			return fmt.Errorf("there are %d", len(list.Items))
		}
		return nil
	})
}

// writeSinks writes the file of sinks: a file, and one that waits for a Secret that the manager looks for.
func (w *world) writeSinks() string {
	w.t.Helper()
	file := w.path("sinks.yaml")
	text := fmt.Sprintf("apiVersion: config.keyward.dev/v1alpha1\nkind: SinksConfiguration\nsinks: [{name: archive, type: File, path: %q}, "+
		"{name: waits, type: Webhook, url: 'https://receiver.example.com', secretRef: {name: keyward-sinks, key: siem}}]\n", w.path("events.jsonl"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// writeBilling writes the file of a receiver of usage, which is a file.
func (w *world) writeBilling() string {
	w.t.Helper()
	file := w.path("billing.yaml")
	text := fmt.Sprintf("apiVersion: config.keyward.dev/v1alpha1\nkind: BillingConfiguration\nreceivers: [{name: ledger, type: File, path: %q}]\n",
		w.path("usage.jsonl"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// createBilled creates a Group that somebody pays for.
func (w *world) createBilled() *v1alpha1.Group {
	w.t.Helper()
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "billed"}}
	group.Spec.Billing.Customer = "cus_1"
	w.create(group)
	return group
}

// liveThroughBilling has the outbox of the Group created, and changed and deleted with the Group.
func (w *world) liveThroughBilling(group *v1alpha1.Group) {
	w.t.Helper()
	outboxes := func(n int) func() error {
		return func() error {
			list := &v1alpha1.BillingOutboxList{}
			if err := w.admin.List(w.ctx, list); err != nil {
				return err
			}
			if len(list.Items) != n {
				return fmt.Errorf("there are %d", len(list.Items))
			}
			return nil
		}
	}
	eventually(w.t, "an outbox", patience, outboxes(1))
	if err := w.admin.Delete(w.ctx, group); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "its deletion", patience, outboxes(0))
}

// awaitSink waits until the sink has an event of each type.
func (w *world) awaitSink(types ...string) {
	w.t.Helper()
	for _, one := range types {
		eventually(w.t, "an event "+one+" in the sink", patience, func() error {
			text, err := os.ReadFile(w.path("events.jsonl"))
			if err == nil && !strings.Contains(string(text), `"type":"`+one+`"`) {
				err = errors.New("it has none")
			}
			return err
		})
	}
}

// liveThroughKeys lives through the lives of keys.
func (w *world) liveThroughKeys(v *validator) {
	w.t.Helper()
	v.awaits(w.plaintext("catalogue"), "allowed")
	w.trigger("catalogue", "cut-over")
	w.awaitKey("catalogue", "rotated", func(key *v1alpha1.ApiKey) bool {
		return lifecycle.Current(key.Status.Versions).ID == 2 && isReady(key)
	})
	w.trigger("kiosk", "now")
	w.awaitKey("kiosk", "restarted", func(key *v1alpha1.ApiKey) bool {
		current := lifecycle.Current(key.Status.Versions)
		return current.ID == 2 && current.RestartedAt != nil && isReady(key)
	})
	w.claim("partner")
	w.awaitGone("partner", &corev1.Secret{})

	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}}}
	group.Spec.DefaultKey = v1alpha1.DefaultKey{Enabled: new(true)}
	w.create(group)
	for _, name := range []string{"first", "second"} {
		text := w.mint(name, func(k *v1alpha1.ApiKey) { k.Spec.Limits.RequestsPerMonth = new(int64(1000)) })
		v.awaits(text, "allowed")
		w.awaitSpent()
		w.revoke(name)
		v.awaits(text, "key_revoked")
		if err := w.admin.Delete(w.ctx, w.newKey(name)); err != nil {
			w.t.Fatal(err)
		}
		w.awaitGone(name, &v1alpha1.ApiKey{})
		eventually(w.t, "the KeyUsage to be gone", patience, func() error {
			list := &v1alpha1.KeyUsageList{}
			if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return errors.New("it is there")
			}
			return nil
		})
	}
}

// awaitSpent waits until what is spent of the quota of the only key that has one is recorded.
func (w *world) awaitSpent() {
	w.t.Helper()
	eventually(w.t, "a KeyUsage with a request", patience, func() error {
		list := &v1alpha1.KeyUsageList{}
		if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		for i := range list.Items {
			for _, ledger := range list.Items[i].Spec.Ledgers {
				for _, entry := range ledger.Entries {
					if entry.Spent != nil && *entry.Spent > 0 {
						return nil
					}
				}
			}
		}
		return errors.New("none has")
	})
}

func (w *world) awaitGone(name string, object client.Object) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%T %s to be gone", object, name), patience, func() error {
		err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, object)
		if !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is there"), err)
		}
		return nil
	})
}

// liveThroughDeletions deletes what a log has to name somebody for.
func (w *world) liveThroughDeletions() {
	w.t.Helper()
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "passing"}}
	list := &v1alpha1.DomainAllowlist{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "passing"}}
	list.Spec.GroupRef.Name, list.Spec.Projects = "passing", []v1alpha1.ProjectName{v1alpha1.DefaultProject}
	for _, object := range []client.Object{group, list} {
		w.create(object)
	}
	for _, object := range []client.Object{list, group} {
		if err := w.admin.Delete(w.ctx, object); err != nil {
			w.t.Fatal(err)
		}
	}
}

// liveThroughTrust has the authority renewed, and ConfigMaps created, corrected and deleted.
func (w *world) liveThroughTrust() {
	w.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	label := func(value string) {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"keyward.dev/ca":%s}}}`, value)
		if err := w.admin.Patch(w.ctx, namespace, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			w.t.Fatal(err)
		}
	}
	is := func(what string, check func(*corev1.ConfigMap, error) bool) {
		found := &corev1.ConfigMap{}
		eventually(w.t, what, patience, func() error {
			err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.TrustName}, found)
			if !check(found, err) {
				return errors.Join(errors.New("it is not so"), err)
			}
			return nil
		})
	}
	label(`"publish"`)
	w.liveThroughConflict(w.namespace)
	w.liveThroughConflict(systemNamespace)
	is("the ConfigMap", func(found *corev1.ConfigMap, err error) bool {
		return err == nil && found.Data[v1alpha1.TrustKey] != ""
	})
	before := w.trustOf()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: certificates}}
	ask := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"keyward.dev/renew-authority":"now"}}}`))
	if err := w.admin.Patch(w.ctx, secret, ask); err != nil {
		w.t.Fatal(err)
	}
	is("the next authority", func(found *corev1.ConfigMap, err error) bool {
		return err == nil && found.Data[v1alpha1.TrustKey] != before
	})
	label("null")
	is("no ConfigMap", func(_ *corev1.ConfigMap, err error) bool { return apierrors.IsNotFound(err) })
}

// trustOf returns what the ConfigMap of the namespace has.
func (w *world) trustOf() string {
	w.t.Helper()
	found := &corev1.ConfigMap{}
	if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: v1alpha1.TrustName}, found); err != nil {
		w.t.Fatal(err)
	}
	return found.Data[v1alpha1.TrustKey]
}

// liveThroughConflict gives the manager's ConfigMap to somebody else, which an event reports, twice: the second time, it is sent in
// another way. Then it takes the name back.
func (w *world) liveThroughConflict(namespace string) {
	w.t.Helper()
	p := *w
	p.namespace = namespace
	found := &corev1.ConfigMap{}
	eventually(w.t, "the ConfigMap of "+namespace, patience, func() error {
		return w.admin.Get(w.ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.TrustName}, found)
	})
	disown := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`))
	if err := w.admin.Patch(w.ctx, found, disown); err != nil {
		w.t.Fatal(err)
	}
	for times := range 2 {
		eventually(w.t, "an event about the ConfigMap of "+namespace, patience, func() error {
			list, err := w.core.EventsV1().Events(namespace).List(w.ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list.Items, func(e eventsv1.Event) bool {
				return e.Regarding.Name == found.Name && (times == 0 || e.Series != nil)
			}) {
				return errors.New("there is none")
			}
			return nil
		})
		touch := fmt.Sprintf(`{"metadata":{"labels":{"touched":"%d"}}}`, times)
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		if err := w.admin.Patch(w.ctx, object, client.RawPatch("application/merge-patch+json", []byte(touch))); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.admin.Delete(w.ctx, found); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the manager's ConfigMap of "+namespace, patience, func() error {
		if err := w.admin.Get(w.ctx, client.ObjectKeyFromObject(found), found); err != nil {
			return err
		}
		if found.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
			return errors.New("it is somebody else's")
		}
		return nil
	})
}

// awaitAuthoritiesOfFile starts a manager whose certificate somebody else issues, and changes its authorities.
func (w *world) awaitAuthoritiesOfFile(setup managerSetup) {
	w.t.Helper()
	file := w.path("authorities.crt")
	both, err := os.ReadFile(filepath.Join(w.certs.Dir, caFile))
	if err != nil {
		w.t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(both), "-----END CERTIFICATE-----\n")
	first += "-----END CERTIFICATE-----\n"
	setup.flags, setup.environment = append(setup.flags, "--cert-dir="+w.certs.Dir, "--ca-file="+file), setup.environment[:2]
	published := func(text string) {
		eventually(w.t, "the authorities of a file", patience, func() error {
			found := &corev1.ConfigMap{}
			if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: systemNamespace, Name: v1alpha1.TrustName}, found); err != nil {
				return err
			}
			if found.Data[v1alpha1.TrustKey] != text {
				return errors.New("they are not published")
			}
			return nil
		})
	}
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		w.t.Fatal(err)
	}
	m := w.startManager(setup)
	w.awaitReady(m)
	published(first)
	if err := os.WriteFile(file, []byte(rest), 0o600); err != nil {
		w.t.Fatal(err)
	}
	published(rest + first)
}
