package plugin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// keyView is what is shown of an ApiKey, in text and with -o. It has no digests.
type keyView struct {
	Namespace      string            `json:"namespace"`
	Name           string            `json:"name"`
	State          v1alpha1.KeyState `json:"state"`
	Message        string            `json:"message,omitempty"`
	Attention      []attention       `json:"attention,omitempty"`
	Group          string            `json:"group"`
	Projects       []string          `json:"projects"`
	Permissions    []string          `json:"permissions,omitempty"`
	Clients        v1alpha1.Clients  `json:"clients,omitempty"`
	Addresses      []string          `json:"addresses,omitempty"`
	Description    string            `json:"description,omitempty"`
	KeyID          string            `json:"keyId,omitempty"`
	Preview        string            `json:"preview,omitempty"`
	Secret         string            `json:"secret"`
	Reveal         v1alpha1.Reveal   `json:"reveal"`
	CreatedBy      string            `json:"createdBy,omitempty"`
	ExpiresAt      *metav1.Time      `json:"expiresAt,omitempty"`
	NextRotationAt *metav1.Time      `json:"nextRotationAt,omitempty"`
	LastUsedAt     *metav1.Time      `json:"lastUsedAt,omitempty"`
	Overlap        v1alpha1.Duration `json:"overlap,omitempty"`
	// Quota is what is used of the quota of the key, if it has one.
	Quota *v1alpha1.KeyQuota `json:"quota,omitempty"`
	// Window is when scheduled rotations happen. Restart and Notify have kinds and names of what follows a rotation.
	Window      *v1alpha1.RotationWindow `json:"window,omitempty"`
	Restart     []string                 `json:"restart,omitempty"`
	Notify      []string                 `json:"notify,omitempty"`
	Enforcement *enforcementView         `json:"enforcement,omitempty"`
	Versions    []versionView            `json:"versions,omitempty"`
	// RefusedLately says why requests were refused, if that was asked for.
	RefusedLately []usagequery.KeyRefusal `json:"refusedLately,omitempty"`
}

type attention = keystate.Attention

type enforcementView struct {
	Complete     bool     `json:"complete"`
	Servers      int32    `json:"servers"`
	Acknowledged int32    `json:"acknowledged"`
	Latency      string   `json:"latency,omitempty"`
	WaitingFor   []string `json:"waitingFor,omitempty"`
	Disconnected []string `json:"disconnected,omitempty"`
	// Rejecting are servers that cannot use the record.
	Rejecting []v1alpha1.RejectingServer `json:"rejecting,omitempty"`
}

type versionView struct {
	ID          int64                 `json:"id"`
	State       v1alpha1.VersionState `json:"state"`
	Cause       v1alpha1.VersionCause `json:"cause"`
	Preview     string                `json:"preview"`
	MintedAt    metav1.Time           `json:"mintedAt"`
	DeliveredAt *metav1.Time          `json:"deliveredAt,omitempty"`
	ClaimedAt   *metav1.Time          `json:"claimedAt,omitempty"`
	RetiresAt   *metav1.Time          `json:"retiresAt,omitempty"`
	ExpiresAt   *metav1.Time          `json:"expiresAt,omitempty"`
	LastUsedAt  *metav1.Time          `json:"lastUsedAt,omitempty"`
}

func viewOf(key *v1alpha1.ApiKey, now time.Time) keyView {
	status := &key.Status
	v := keyView{
		Namespace: key.Namespace, Name: key.Name, State: status.State, Attention: attentions(key, now),
		Group: groupOf(key), Projects: names(key.Spec.Projects), Permissions: names(key.Spec.Permissions), Description: key.Spec.Description,
		KeyID: status.KeyID, Preview: status.Preview, Secret: lifecycle.SecretName(key), Reveal: key.Spec.Secret.Reveal,
		CreatedBy: status.CreatedBy, Clients: key.Spec.Clients,
		ExpiresAt: status.ExpiresAt, NextRotationAt: status.NextRotationAt, LastUsedAt: status.LastUsedAt, Overlap: key.Spec.Rotation.Overlap,
		Quota: status.Quota,
	}
	if len(key.Spec.Addresses) > 0 {
		v.Addresses = names(key.Spec.Addresses)
	}
	v.Window = key.Spec.Rotation.Window
	v.Restart, v.Notify = targetsOf(&key.Spec.Secret)
	if v.State == "" {
		v.State = v1alpha1.KeyPending
	}
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		v.Message = ready.Message
	}
	if e := status.Enforcement; e != nil {
		v.Enforcement = &enforcementView{
			Complete: meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionEnforced),
			Servers:  number(e.Servers), Acknowledged: number(e.Acknowledged), Latency: e.Latency, WaitingFor: e.WaitingFor,
			Disconnected: e.Disconnected, Rejecting: e.Rejecting,
		}
	}
	for i := range status.Versions {
		w := &status.Versions[i]
		cause := w.Cause
		if cause == "" {
			cause = v1alpha1.CauseCreated
		}
		v.Versions = append(v.Versions, versionView{
			ID: w.ID, State: w.State, Cause: cause, Preview: w.Preview, MintedAt: w.MintedAt, DeliveredAt: w.DeliveredAt,
			ClaimedAt: w.ClaimedAt, RetiresAt: w.RetiresAt, ExpiresAt: w.ExpiresAt, LastUsedAt: w.LastUsedAt,
		})
	}
	return v
}

// over reports whether the key is permanently refused.
func (v *keyView) over() bool {
	return v.State == v1alpha1.KeyRevoked || v.State == v1alpha1.KeyExpired
}

// attentions returns the conditions that somebody should know about, the worst first, with commands that help.
func attentions(key *v1alpha1.ApiKey, now time.Time) []attention {
	all := keystate.Attentions(key, now)
	for i := range all {
		switch at := &all[i]; {
		case at.Message == keystate.NeverSeen:
			at.Message += "; if that does not change, see whether it runs: kubectl -n keyward-system get pods"
		case at.Reason == keystate.ReasonUnclaimed:
			at.Message += fmt.Sprintf(": kubectl keyward -n %s reveal %s", key.Namespace, key.Name)
		}
	}
	return all
}

// describeEnforcement says on how many servers the latest change is in force.
func describeEnforcement(e *enforcementView) string {
	if e == nil {
		return "nothing was published yet"
	}
	text := fmt.Sprintf("in force on %d of %d servers", e.Acknowledged, e.Servers)
	switch {
	case e.Servers == 0 && e.Complete:
		text = "no server is connected; those that connect later start from the latest state"
	case e.Servers == 0:
		text = "not published yet"
	}
	if e.Latency != "" {
		text += ", after " + e.Latency
	}
	if len(e.WaitingFor) > 0 {
		text += "; waiting for " + strings.Join(e.WaitingFor, ", ")
	}
	if len(e.Disconnected) > 0 {
		text += "; disconnected, and deciding by the state that they had: " + strings.Join(e.Disconnected, ", ")
	}
	for _, of := range e.Rejecting {
		text += fmt.Sprintf("; %s cannot use it: %s", of.Server, of.Reason)
	}
	return text
}

// groupOf returns the identity of the key's Group.
func groupOf(key *v1alpha1.ApiKey) string {
	namespace := key.Spec.GroupRef.Namespace
	if namespace == "" {
		namespace = key.Namespace
	}
	return namespace + "/" + key.Spec.GroupRef.Name
}

func names[T ~string](all []T) []string {
	texts := make([]string, 0, len(all))
	for _, name := range all {
		texts = append(texts, string(name))
	}
	return slices.Clip(texts)
}

func number(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
