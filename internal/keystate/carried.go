package keystate

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Carried returns which version of a key a Secret holds, and its text; nil if it holds none, such as a Secret that belongs to somebody else.
func Carried(key *v1alpha1.ApiKey, secret *corev1.Secret) (*v1alpha1.KeyVersion, keyformat.Key) {
	text, _ := keyformat.Import(string(secret.Data[v1alpha1.SecretKeyAPIKey])) // a zero key has no version
	if text.IsZero() {
		return nil, keyformat.Key{}
	}
	for i := range key.Status.Versions {
		if v := &key.Status.Versions[i]; carries(secret, text, v) {
			return v, text
		}
	}
	return nil, keyformat.Key{}
}

// carries reports whether the Secret holds the version. Only the manager knows the digest of an imported key: for such
// a key the Secret says which version it holds.
func carries(secret *corev1.Secret, text keyformat.Key, v *v1alpha1.KeyVersion) bool {
	if text.IsForeign() && keyformat.IsForeignPreview(v.Preview) {
		return secret.Annotations[v1alpha1.AnnotationVersion] == strconv.FormatInt(v.ID, 10)
	}
	return v.Digest == text.Digest().String()
}
