package v1alpha1

import (
	"fmt"
	"strings"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// checkClaim checks a claim of a version by the ApiKey's annotation. A claim ahead of time is refused: it would remove a text
// that nobody has seen. One of another key, as in a manifest that was exported, means nothing, and is warned of.
func (c *checkedKey) checkClaim(old, key *v1alpha1.ApiKey) {
	const name = v1alpha1.AnnotationClaimedVersion
	value := key.Annotations[name]
	if value == "" || value == old.Annotations[name] {
		return
	}
	keyID, field := key.Status.KeyID, "metadata.annotations["+name+"]"
	id, ours := strings.CutPrefix(value, keyID+"-")
	if keyID == "" || !ours {
		c.warnings = append(c.warnings, field+": it names no version of this ApiKey, and claims nothing; "+
			"write status.keyID, '-' and the id of the version")
		return
	}
	if lifecycle.ClaimedBy(key, keyID, id) {
		return
	}
	c.problems = append(c.problems, &grant.Problem{
		Reason: v1alpha1.ReasonInvalidSpec, Field: field, Value: value,
		Message: fmt.Sprintf("no version %s was delivered; a version is claimed when somebody has its text", id),
	})
}
