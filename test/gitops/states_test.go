package gitops

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const shop = `
apiVersion: keyward.dev/v1alpha1
kind: Group
metadata: {name: shop, namespace: %[1]s}
spec: {displayName: Shop, projects: [{name: web, routes: [{paths: ["/web/**"]}]}, {name: app, routes: [{paths: ["/app/**"]}]}]}
`

const frozen = `
apiVersion: keyward.dev/v1alpha1
kind: Group
metadata: {name: frozen, namespace: %[1]s}
spec: {displayName: Frozen, state: Frozen, projects: [{name: web, routes: [{paths: ["/web/**"]}]}]}
`

const keyOf = `
apiVersion: keyward.dev/v1alpha1
kind: ApiKey
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  groupRef: {name: %[3]s}
  projects: [web]
  %[4]s
`

const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, env: [{name: KEY, valueFrom: {secretKeyRef: {name: restarted, key: api-key}}}]}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: keyward-restart, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: keyward-restart}
subjects: [{kind: ServiceAccount, name: keyward-manager, namespace: keyward-system}]
`

// stage is a namespace in which a key is brought into a state.
type stage struct {
	*cluster
	t               *testing.T
	namespace, name string
	flux            *flux
	declared        []*unstructured.Unstructured
}

// state is a state of a key, how it comes about, and what everybody has to say to it.
type state struct {
	name string
	// spec is what Git declares in addition, and group the Group that it names, if not shop.
	spec, group string
	// arrive brings the key there, once it is as declared.
	arrive func(s *stage)
	// reached is the condition that it is there.
	reached func(*v1alpha1.ApiKey) bool

	kstatus status.Status
	health  string
	// actions are those that Argo CD offers, the others are disabled.
	actions []string
}

// active are the actions of a key that is in use.
var active = []string{"revoke", "rotate", "suspend"}

func states() []state {
	return []state{
		{
			name: "created", reached: inState(v1alpha1.KeyActive, 1),
			kstatus: status.CurrentStatus, health: "Healthy", actions: active,
		},
		{
			name: "rotated", reached: inState(v1alpha1.KeyActive, 2),
			arrive: func(s *stage) {
				s.awaitKey(s.t, s.namespace, s.name, "active", inState(v1alpha1.KeyActive, 1))
				s.declare("shop", "rotation: {trigger: \"2026-11-26\"}")
			},
			kstatus: status.CurrentStatus, health: "Healthy", actions: active,
		},
		{
			name: "rotated-by-plugin", spec: "rotation: {trigger: \"2026-11-26\"}", reached: inState(v1alpha1.KeyActive, 2),
			arrive:  func(s *stage) { s.plugin("rotate", s.name, "--yes") },
			kstatus: status.CurrentStatus, health: "Healthy", actions: active,
		},
		{
			name: "rotated-by-action", reached: inState(v1alpha1.KeyActive, 2),
			arrive:  func(s *stage) { s.act("rotate") },
			kstatus: status.CurrentStatus, health: "Healthy", actions: active,
		},
		{
			name: "restarted", spec: "secret: {restart: [{kind: Deployment, name: web}]}",
			arrive: func(s *stage) { s.act("rotate") },
			reached: func(key *v1alpha1.ApiKey) bool {
				return inState(v1alpha1.KeyActive, 2)(key) && key.Status.Versions[len(key.Status.Versions)-1].RestartedAt != nil
			},
			kstatus: status.CurrentStatus, health: "Healthy", actions: active,
		},
		{
			name: "suspended", spec: "suspended: true", reached: inState(v1alpha1.KeySuspended, 0),
			kstatus: status.CurrentStatus, health: "Suspended", actions: []string{"resume", "revoke"},
		},
		{
			name: "suspended-by-plugin", arrive: func(s *stage) { s.plugin("suspend", s.name) }, reached: inState(v1alpha1.KeySuspended, 1),
			kstatus: status.CurrentStatus, health: "Suspended", actions: []string{"resume", "revoke"},
		},
		{
			name: "suspended-by-action", arrive: func(s *stage) { s.act("suspend") }, reached: inState(v1alpha1.KeySuspended, 1),
			kstatus: status.CurrentStatus, health: "Suspended", actions: []string{"resume", "revoke"},
		},
		{
			name: "resumed", reached: inState(v1alpha1.KeyActive, 1),
			arrive: func(s *stage) {
				s.act("suspend")
				s.awaitKey(s.t, s.namespace, s.name, "suspended", inState(v1alpha1.KeySuspended, 1))
				s.act("resume")
			},
			kstatus: status.CurrentStatus, health: "Healthy", actions: active,
		},
		{
			name: "frozen", group: "frozen", reached: inState(v1alpha1.KeySuspended, 0),
			kstatus: status.CurrentStatus, health: "Suspended", actions: []string{"revoke", "suspend"},
		},
		{
			name: "revoked", spec: "revoked: true", reached: inState(v1alpha1.KeyRevoked, 0),
			kstatus: status.CurrentStatus, health: "Healthy",
		},
		{
			name: "revoked-by-plugin", arrive: func(s *stage) { s.plugin("revoke", s.name, "--yes") }, reached: inState(v1alpha1.KeyRevoked, 0),
			kstatus: status.CurrentStatus, health: "Healthy",
		},
		{
			name: "revoked-by-action", arrive: func(s *stage) { s.act("revoke") }, reached: inState(v1alpha1.KeyRevoked, 0),
			kstatus: status.CurrentStatus, health: "Healthy",
		},
		{
			name: "waiting-for-claim", spec: "secret: {reveal: Once}", reached: inState(v1alpha1.KeyActive, 1),
			kstatus: status.CurrentStatus, health: "Healthy", actions: []string{"reveal-claim", "revoke", "rotate", "suspend"},
		},
		{
			name: "claimed", spec: "secret: {reveal: Once}", arrive: func(s *stage) { s.act("reveal-claim") },
			reached: func(key *v1alpha1.ApiKey) bool {
				return inState(v1alpha1.KeyActive, 1)(key) && key.Status.Versions[0].ClaimedAt != nil
			},
			kstatus: status.CurrentStatus, health: "Healthy", actions: active,
		},
		{
			name: "expired", spec: fmt.Sprintf("expiresAt: %q", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)),
			reached: inState(v1alpha1.KeyExpired, 0),
			kstatus: status.CurrentStatus, health: "Healthy",
		},
		{
			name: "contested", arrive: (*stage).contest,
			reached: func(key *v1alpha1.ApiKey) bool {
				return inState(v1alpha1.KeyActive, 0)(key) && isTrue(key, "SecretContested") && !isTrue(key, v1alpha1.ConditionReconciling)
			},
			kstatus: status.CurrentStatus, health: "Degraded", actions: active,
		},
		{
			name: "blocked", group: "nobody", reached: func(key *v1alpha1.ApiKey) bool { return key.Status.State == v1alpha1.KeyBlocked },
			kstatus: status.FailedStatus, health: "Degraded", actions: []string{"revoke", "suspend"},
		},
	}
}

// declare is a commit: it applies what Git says from now on, with Flux.
func (s *stage) declare(group, spec string) {
	s.t.Helper()
	manifests := []string{shop, frozen}
	if strings.Contains(spec, "restart") {
		manifests = append(manifests, workload)
	}
	text := fmt.Sprintf(keyOf, s.namespace, s.name, group, spec)
	for _, manifest := range manifests {
		text += "---" + fmt.Sprintf(manifest, s.namespace)
	}
	s.declared = parse(s.t, text)
	s.flux.reconciles(s.t, s.declared)
}

// plugin runs kubectl keyward.
func (s *stage) plugin(args ...string) {
	s.t.Helper()
	s.awaitKey(s.t, s.namespace, s.name, "active", inState(v1alpha1.KeyActive, 1))
	s.kubectl(s.t, append([]string{"keyward", "-n", s.namespace}, args...)...)
}

// act runs an action of Argo CD.
func (s *stage) act(action string) {
	s.t.Helper()
	s.awaitKey(s.t, s.namespace, s.name, "delivered", func(key *v1alpha1.ApiKey) bool { return latest(key) > 0 })
	u, err := s.live(s.t.Context(), "ApiKey", s.namespace, s.name)
	if err != nil {
		s.t.Fatal(err)
	}
	_, patch, err := act(u, script(s.t, "ApiKey/actions", action, "action.lua"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.patch(s.t, "argocd-server", "ApiKey", s.namespace, s.name, string(patch))
}

// contest overwrites the key in its Secret again and again, as an ExternalSecret of that name does.
func (s *stage) contest() {
	s.t.Helper()
	s.awaitKey(s.t, s.namespace, s.name, "active", inState(v1alpha1.KeyActive, 1))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name}}
	overwrite := client.RawPatch(types.MergePatchType, []byte(`{"stringData":{"api-key":"from-another-store-from-another-store"}}`))
	eventually(s.t, "SecretContested", func(ctx context.Context) error {
		key, err := s.key(ctx, s.namespace, s.name)
		if err != nil || isTrue(key, "SecretContested") {
			return err
		}
		if err := s.admin.Patch(ctx, secret, overwrite, client.FieldOwner("external-secrets")); err != nil {
			return err
		}
		return fmt.Errorf("there are %d versions, and the condition is not set", len(key.Status.Versions))
	})
}

// TestStates brings a key into every state, and asks everybody what they think: kstatus, Flux's health checks in CEL, Flux's
// drift detection and apply, and Argo CD's health and actions. What was declared is reached, what was done by hand in an
// emergency stays, and nothing drifts.
func TestStates(t *testing.T) {
	c := needCluster(t)
	kept := &recording{health: map[string][]healthTest{}}
	for _, state := range states() {
		t.Run(state.name, func(t *testing.T) {
			if !*update {
				t.Parallel()
			}
			s := &stage{cluster: c, t: t, namespace: c.namespace(t, "state"), name: state.name, flux: c.flux(t, kustomizev1.Kustomization{})}
			group := state.group
			if group == "" {
				group = "shop"
			}
			s.declare(group, state.spec)
			if state.arrive != nil {
				state.arrive(s)
			}
			// The end of the work is written last.
			reached := func(key *v1alpha1.ApiKey) bool {
				return state.reached(key) && (state.kstatus != status.CurrentStatus || !isTrue(key, v1alpha1.ConditionReconciling))
			}
			s.awaitKey(t, s.namespace, s.name, state.name, reached)
			s.judge(state, kept)
			if changed := s.flux.reconciles(t, s.declared); len(changed) > 0 {
				t.Errorf("Flux changes %q", changed)
			}
			s.awaitKey(t, s.namespace, s.name, state.name+" after Flux", reached)
		})
	}
	if *update {
		recordOthers(t, c, kept)
		kept.finish(t)
	}
}

// judge asks everybody.
func (s *stage) judge(state state, kept *recording) {
	s.t.Helper()
	u, err := s.live(s.t.Context(), "ApiKey", s.namespace, s.name)
	if err != nil {
		s.t.Fatal(err)
	}
	result, err := status.Compute(u)
	if err != nil {
		s.t.Fatal(err)
	}
	if result.Status != state.kstatus {
		s.t.Errorf("kstatus is %s (%s), want %s", result.Status, result.Message, state.kstatus)
	}
	judgeByExpressions(s.t, u, state.kstatus)
	if drifted := s.flux.drift(s.t, s.declared); len(drifted) > 0 {
		s.t.Errorf("drift: %q", drifted)
	}
	health, err := healthOf(u, script(s.t, "ApiKey/health.lua"))
	if err != nil {
		s.t.Fatal(err)
	}
	if health.Status != state.health || health.Message == "" {
		s.t.Errorf("Argo CD's health is %+v, want %s with a message", health, state.health)
	}
	actions, err := actionsOf(u, script(s.t, "ApiKey/actions/discovery.lua"))
	if err != nil {
		s.t.Fatal(err)
	}
	var enabled []string
	for _, action := range actions {
		if !action.Disabled {
			enabled = append(enabled, action.Name)
		}
	}
	if d := gocmp.Diff(state.actions, enabled); d != "" {
		s.t.Errorf("Argo CD offers: %s", d)
	}
	if *update && !s.t.Failed() {
		kept.keep(s.t, "ApiKey", state.name, u, health, actions)
	}
}

// judgeByExpressions evaluates healthCheckExprs of config/flux with Flux's library.
func judgeByExpressions(t *testing.T, u *unstructured.Unstructured, want status.Status) {
	t.Helper()
	checks := fluxKustomization(t, "keys").Spec.HealthCheckExprs
	i := slices.IndexFunc(checks, func(check kustomize.CustomHealthCheck) bool { return check.Kind == u.GetKind() })
	if i < 0 {
		t.Fatalf("config/flux has no health check of %s", u.GetKind())
	}
	evaluator, err := cel.NewStatusEvaluator(&checks[i].HealthCheckExpressions)
	if err != nil {
		t.Fatal(err)
	}
	result, err := evaluator.Evaluate(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if string(result.Status) != string(want) {
		t.Errorf("Flux's expressions say %s, want %s", result.Status, want)
	}
}
