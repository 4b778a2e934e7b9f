package lifecycle

import (
	"slices"
	"strconv"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Claim is the value of the annotation AnnotationClaimedVersion that claims a version. It has the id of the key, because the
// annotation is in exports and backups: a key that is created from one has other texts, which nobody has seen.
func Claim(keyID, version string) string { return keyID + "-" + version }

// ClaimedBy reports whether the annotation of an ApiKey claims the version that its Secret has. A version that the status does not
// show as delivered was not claimed by anybody.
func ClaimedBy(key *v1alpha1.ApiKey, keyID, version string) bool {
	return version != "" && key.Annotations[v1alpha1.AnnotationClaimedVersion] == Claim(keyID, version) &&
		slices.ContainsFunc(key.Status.Versions, func(v v1alpha1.KeyVersion) bool {
			return v.DeliveredAt != nil && strconv.FormatInt(v.ID, 10) == version
		})
}
