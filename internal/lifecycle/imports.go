package lifecycle

import (
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// ImportsDigest reports whether the key is imported by the hash of its text, so that nobody here has the text.
func ImportsDigest(key *v1alpha1.ApiKey) bool {
	return key.Spec.ImportFrom != nil && key.Spec.ImportFrom.SHA256 != ""
}

// ImportDigest returns the hash by which the key is imported, or why it cannot be; neither if it is not imported by a hash.
func ImportDigest(key *v1alpha1.ApiKey) (keyformat.Digest, *grant.Problem) {
	if !ImportsDigest(key) {
		return keyformat.Digest{}, nil
	}
	refuse := func(field, message string) *grant.Problem {
		return &grant.Problem{Reason: v1alpha1.ReasonImportRefused, Field: "spec.importFrom." + field, Message: message}
	}
	from := key.Spec.ImportFrom
	digest, err := keyformat.ReadSHA256(from.SHA256)
	if err != nil {
		return keyformat.Digest{}, refuse("sha256", err.Error())
	}
	if keyformat.DigestOf(from.Preview) == digest {
		return keyformat.Digest{}, refuse("preview", "this is the whole key, and everybody who reads the ApiKey would have it; write a few of "+
			"its characters in a new ApiKey, and rotate this one")
	}
	return digest, nil
}

// ImportPreview is what is shown of a key that is imported by its hash.
func ImportPreview(key *v1alpha1.ApiKey) string {
	if ImportsDigest(key) && key.Spec.ImportFrom.Preview != "" {
		return key.Spec.ImportFrom.Preview
	}
	return keyformat.ForeignPreview
}

// accept makes a pending version active of which only the digest is known: its holder has the text already, so nothing is
// delivered, and nobody can claim it.
func (p *planner) accept(pending *v1alpha1.KeyVersion) {
	pending.State = v1alpha1.VersionActive
	pending.DeliveredAt, pending.ClaimedAt = seconds(p.now), seconds(p.now)
}
