package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// The programs of these tests are built from the sources with features switched off, or added, as those of earlier and later
// releases are.

// without takes some features from a list of all.
func without(source string, features ...string) (patches []patch) {
	for _, feature := range features {
		patches = append(patches, patch{source, "\t\tsyncv1.Feature_FEATURE_" + feature + ",\n", ""})
	}
	return patches
}

const (
	ofManager   = "controllers/syncserver/features.go"
	ofValidator = "server/syncclient/features.go"
	// routeSyntax is where a validation server learns a route.
	routeSyntax = "func compileRoute(wire *syncv1.Route) (routing.Matcher, error) {\n"
)

// withoutQueries is a validation server that does not know that routes may have queries.
func withoutQueries() patch {
	return patch{"server/store/compile.go", routeSyntax,
		routeSyntax + "\tif len(wire.GetQuery()) > 0 {\n\t\treturn routing.Matcher{}, fmt.Errorf(\"query is of a later release\")\n\t}\n"}
}

// createQueryGroup creates the Group acme with a route that old servers cannot read.
func (w *world) createQueryGroup() {
	w.t.Helper()
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{
		{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}},
		{Name: "product", Routes: []v1alpha1.Route{{Paths: []string{"/prd/**"}, Query: map[string]v1alpha1.QueryValues{"site": {"42"}}}}},
	}
	w.create(group)
}

// rejectedBy reports whether the latest change is enforced on so many servers of all, and rejected by the named one.
func rejectedBy(instance, reason string, acknowledged, servers int32) func(*v1alpha1.ApiKey) bool {
	return func(key *v1alpha1.ApiKey) bool {
		enforced := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionEnforced)
		e := key.Status.Enforcement
		return enforced != nil && enforced.Reason == v1alpha1.ReasonRecordsRejected && strings.Contains(enforced.Message, instance) &&
			e != nil && len(e.Rejecting) == 1 && e.Rejecting[0].Server == instance && strings.Contains(e.Rejecting[0].Reason, reason) &&
			*e.Servers == servers && *e.Acknowledged == acknowledged
	}
}

// TestSkewOldValidator: a change that an old validation server cannot use is not said to be in force there, and no key is delivered
// that it would refuse, until it is upgraded, or the manager is started to deliver nevertheless.
func TestSkewOldValidator(t *testing.T) {
	w := newWorld(t)
	old := w.buildPatched("validator-old", "./cmd/validator", append(without(ofValidator, "KEY_REPORTS", "SERVERS", "TRAFFIC_REPORTS", "KEY_REFUSALS"), withoutQueries())...)
	m := w.lead(managerSetup{startupGrace: quick})
	current := w.startValidators("current")[0]
	aged := w.startValidator(validatorSetup{instance: "aged", binary: old})
	aged.awaitReady()
	w.createQueryGroup()
	w.createKey("web")
	w.awaitKey("web", "rejected by the old server", rejectedBy("aged", "query is of a later release", 1, 2))
	eventually(t, "the Group to name the old server", patience, func() error {
		group := &v1alpha1.Group{}
		if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "acme"}, group); err != nil {
			return err
		}
		if e := group.Status.Enforcement; e == nil || len(e.Rejecting) != 1 || e.Rejecting[0].Server != "aged" {
			return fmt.Errorf("its status is %+v", e)
		}
		return nil
	})
	key := w.awaitKey("web", "pending", func(key *v1alpha1.ApiKey) bool { return key.Status.State == v1alpha1.KeyPending })
	if key.Status.SecretRef != nil {
		t.Error("a key is delivered that a connected server refuses")
	}

	m.kill()
	m = w.lead(managerSetup{startupGrace: defaultStartupGrace, flags: []string{"--deliver-despite-rejections"}})
	w.awaitKey("web", "delivered nevertheless", isReady)
	w.awaitKey("web", "said to be rejected still", rejectedBy("aged", "query is of a later release", 1, 2))
	current.awaits(w.plaintext("web"), "allowed")
	aged.requires(t, w.plaintext("web"), "project_unknown")

	m.kill()
	w.lead(managerSetup{startupGrace: defaultStartupGrace})
	w.createKey("app")
	w.awaitKey("app", "rejected by the old server", rejectedBy("aged", "query is of a later release", 1, 2))
	aged.kill()
	aged.setup.binary = ""
	aged.start() // from what the old one has persisted
	w.awaitKey("app", "accepted by the upgraded server", isEnforced(2))
	w.awaitKey("app", "delivered", isReady)
	aged.awaits(w.plaintext("app"), "allowed")
}

// withoutKeyQuotas is a validation server in whose protocol a key has no field for a quota.
func withoutKeyQuotas() []patch {
	const check = "func unknownInKey(key *syncv1.Key) error {\n"
	return append(without(ofValidator, "KEY_QUOTAS"), patch{"server/store/unknown.go", check, check +
		"	if key.GetQuota() {\n		key.Quota = false\n		key.ProtoReflect().SetUnknown([]byte{0x60, 1}) // field 12\n	}\n"})
}

// TestSkewQuotaOfKey: a validation server that does not know quotas of keys refuses a key that has one, and says so: neither
// a key that is new, nor one that gets a quota later, is without its quota anywhere.
func TestSkewQuotaOfKey(t *testing.T) {
	w := newWorld(t)
	old := w.buildPatched("validator-old", "./cmd/validator", withoutKeyQuotas()...)
	w.lead(managerSetup{startupGrace: quick, flags: []string{"--deliver-despite-rejections"}})
	current := w.startValidators("current")[0]
	aged := w.startValidator(validatorSetup{instance: "aged", binary: old})
	aged.awaitReady()
	w.createGroup()
	later := w.mint("later")
	aged.awaits(later, "allowed")
	limited := w.mint("limited", func(key *v1alpha1.ApiKey) { key.Spec.Limits.RequestsPerMonth = ptr.To[int64](2) })
	w.mergePatch(w.newKey("later"), `{"spec":{"limits":{"requestsPerMonth":0}}}`)
	for name, text := range map[string]string{"limited": limited, "later": later} {
		w.awaitKey(name, "rejected by the old server", rejectedBy("aged", "field 12", 1, 2))
		aged.awaits(text, "key_unknown")
	}
	current.awaits(later, "key_quota_exceeded")
	for range 2 {
		current.requires(t, limited, "allowed")
	}
	current.requires(t, limited, "key_quota_exceeded")

	aged.kill()
	aged.setup.binary = ""
	aged.start() // from what the old one has persisted
	aged.awaits(later, "key_quota_exceeded")
	aged.awaits(limited, "key_quota_exceeded")
	w.awaitKey("limited", "in force on both", isEnforced(2))
}

// TestThatSkewIsNoticed is the same with an old server that does not say what it cannot use, as before there were rejections: the
// change is said to be in force on both, and the key is delivered.
func TestThatSkewIsNoticed(t *testing.T) {
	w := newWorld(t)
	silent := w.buildPatched("validator-silent", "./cmd/validator", append(without(ofValidator, "REJECTIONS"), withoutQueries())...)
	w.lead(managerSetup{startupGrace: quick})
	w.startValidators("current")
	aged := w.startValidator(validatorSetup{instance: "aged", binary: silent})
	aged.awaitReady()
	w.createQueryGroup()
	key := w.mint("web")
	w.awaitKey("web", "in force on 2 of 2", isEnforced(2))
	aged.requires(t, key, "project_unknown")
}

// TestSkewNewManager: a message of a later release is ignored, and a record with a field of a later release is rejected, and only that.
func TestSkewNewManager(t *testing.T) {
	const send = "	for err == nil {\n		select {\n		case update := <-updates:\n"
	w := newWorld(t)
	later := w.buildPatched("manager-later", "./cmd/manager",
		patch{ofManager, "\t\tsyncv1.Feature_FEATURE_SERVERS,\n", "\t\tsyncv1.Feature_FEATURE_SERVERS, 99,\n"},
		patch{"controllers/syncserver/connection.go", send,
			"	unknown := &syncv1.SyncResponse{}\n	unknown.ProtoReflect().SetUnknown([]byte{0x9a, 0x06, 1, 'x'}) // field 99\n	err = send(unknown)\n" + send},
		patch{"controllers/publish/records.go", "	revoked := lifecycle.Revoked(key)\n",
			"	if key.Spec.Description == \"of a later release\" {\n		record.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 1}) // field 99\n	}\n" +
				"	revoked := lifecycle.Revoked(key)\n"},
	)
	w.lead(managerSetup{startupGrace: quick, binary: later})
	v := w.startValidators("current")[0]
	w.createGroup()
	v.awaits(w.mint("web"), "allowed")
	w.createKey("later", func(key *v1alpha1.ApiKey) { key.Spec.Description = "of a later release" })
	w.awaitKey("later", "rejected", rejectedBy("current", "field 99", 0, 1))
	v.awaits(w.mint("again"), "allowed")
}

// notAgreed is a manager that ends the stream where another one takes a message that it does not know.
func notAgreed(takes string) patch {
	return patch{"controllers/syncserver/connection.go", takes, "			return status.Error(codes.Internal, \"" + notAgreedText + "\")\n"}
}

const notAgreedText = "a message that was not agreed"

// TestSkewOldManager: a validation server sends an old manager nothing that it does not know, and is served by it.
func TestSkewOldManager(t *testing.T) {
	w := newWorld(t)
	old := w.buildPatched("manager-old", "./cmd/manager", append(without(ofManager, "KEY_REPORTS", "SERVERS", "REJECTIONS", "TRAFFIC_REPORTS", "KEY_REFUSALS"),
		notAgreed("				c.traffic.Report(c.subscription.Session(), message.Traffic)\n"),
		notAgreed("				c.traffic.ReportKeys(c.subscription.Session(), message.Refusals)\n"),
		notAgreed("			c.keys.Report(message.Keys)\n"))...)
	m := w.lead(managerSetup{startupGrace: quick, binary: old, flags: []string{"--last-used-resolution=1s"}})
	v := w.startValidator(validatorSetup{instance: "current", upstream: w.contentServer().URL, flags: []string{"--usage-interval=1s"}})
	v.awaitReady()
	w.createGroup()
	key := w.mint("web")
	v.awaits(key, "allowed")
	v.uses(t, key)
	w.awaitKey("web", "seen in use", func(key *v1alpha1.ApiKey) bool { return key.Status.LastUsedAt != nil })
	w.revoke("web")
	v.awaits(key, "key_revoked") // a refusal, which it does not report
	if _, metrics, err := get("http://" + v.listens.Admin.String() + "/metrics"); err != nil ||
		strings.Contains(metrics, `keyward_validator_stream_failures_total{code="Internal"}`) {
		t.Errorf("it sent what was not agreed, or %v", err)
	}
	v.stop(patience) // it reports all that it has
	eventually(t, "the end of its stream", patience, func() error {
		log, err := os.ReadFile(m.log)
		if err == nil && !bytes.Contains(log, []byte("A validation server has disconnected")) && !bytes.Contains(log, []byte(notAgreedText)) {
			err = errors.New("it is not logged")
		}
		if bytes.Contains(log, []byte(notAgreedText)) {
			t.Error("it sent what was not agreed")
		}
		return err
	})
}

// TestSkewNewValidator: a later validation server has features and sends fields that the manager does not know.
func TestSkewNewValidator(t *testing.T) {
	const hello = "	if err := stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Hello{Hello: hello}}); err != nil {\n"
	w := newWorld(t)
	later := w.buildPatched("validator-later", "./cmd/validator",
		patch{ofValidator, "\t\tsyncv1.Feature_FEATURE_SERVERS,\n", "\t\tsyncv1.Feature_FEATURE_SERVERS, 99,\n"},
		patch{"server/syncclient/syncclient.go", hello, "	hello.ProtoReflect().SetUnknown([]byte{0x9a, 0x06, 1, 'x'}) // field 99\n" + hello},
	)
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidator(validatorSetup{instance: "later", binary: later})
	v.awaitReady()
	w.createGroup()
	v.awaits(w.mint("web"), "allowed")
	w.awaitKey("web", "in force there", isEnforced(1))
}
