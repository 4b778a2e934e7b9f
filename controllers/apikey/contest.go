package apikey

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// maxWriters is how many field managers a message names.
const maxWriters = 3

// writersOf are the field managers, other than the operator, that own the entry with the key text of a Secret.
func writersOf(secret *corev1.Secret) []string {
	var writers []string
	for _, entry := range secret.ManagedFields {
		if entry.Manager == string(FieldOwner) || entry.FieldsV1 == nil || slices.Contains(writers, entry.Manager) {
			continue
		}
		var fields struct {
			Data       map[string]json.RawMessage `json:"f:data"`
			StringData map[string]json.RawMessage `json:"f:stringData"` // of a manager that applies that
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			continue
		}
		_, owns := fields.Data["f:"+v1alpha1.SecretKeyAPIKey]
		_, applies := fields.StringData["f:"+v1alpha1.SecretKeyAPIKey]
		if owns || applies {
			writers = append(writers, entry.Manager)
		}
	}
	slices.Sort(writers)
	return writers[:min(len(writers), maxWriters)]
}

// lostTo describes what became of the key text in its Secret.
func (f *facts) lostTo(key *v1alpha1.ApiKey) string {
	name := lifecycle.SecretName(key)
	if f.secret == nil {
		return fmt.Sprintf("Secret %s was deleted", name)
	}
	writers := writersOf(f.secret)
	if len(writers) == 0 {
		return fmt.Sprintf("entry %s of Secret %s was changed", v1alpha1.SecretKeyAPIKey, name)
	}
	return fmt.Sprintf("entry %s of Secret %s was overwritten by field manager %s", v1alpha1.SecretKeyAPIKey, name, strings.Join(writers, ", "))
}

// setContested sets the condition that reports that something else keeps taking the key out of its Secret. What that is shows
// only while the text is lost, so the message is kept while it is not.
func setContested(set conditions.Setter, key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) {
	if outcome.Contest == nil {
		set.Set(v1alpha1.ConditionSecretContested, false, "", "")
		return
	}
	was := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionSecretContested)
	message := fmt.Sprintf("%s repeatedly; each time a new key replaces the lost one, after a longer pause. "+
		"Let nothing else write this Secret, or create the ApiKey again with another secret.name", found.lostTo(key))
	if was != nil && !found.lost {
		message = was.Message
	}
	set.Set(v1alpha1.ConditionSecretContested, true, v1alpha1.ReasonKeyLost, message)
}

// describeLost describes a key that waits to replace a version whose text was lost.
func describeLost(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) conditions.Summary {
	return conditions.Summary{
		Reconciling: true, Reason: v1alpha1.ReasonKeyLost,
		Message: fmt.Sprintf("%s; a new version replaces the lost one, which is accepted until then, at %s", found.lostTo(key),
			outcome.ReplacesAt.UTC().Format(time.RFC3339)),
	}
}
