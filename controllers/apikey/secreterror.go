package apikey

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// secretError is why the API server refuses to write a Secret: a quota, a policy, an immutable Secret. Its text is shown
// to users, so the text of the key is removed from it.
type secretError struct {
	cause error
	text  string
}

func newSecretError(err error, key string) error {
	if err == nil {
		return nil
	}
	return &secretError{cause: err, text: strings.ReplaceAll(err.Error(), key, "…")}
}

func (e *secretError) Error() string { return e.text }

// Unwrap lets apierrors recognize the kind of refusal.
func (e *secretError) Unwrap() error { return e.cause }

func (e *secretError) problem(key *v1alpha1.ApiKey) *grant.Problem {
	hint := ""
	if apierrors.IsInvalid(e.cause) {
		hint = "; if the Secret is immutable, delete it, and a new key replaces it"
	}
	return &grant.Problem{
		Reason: v1alpha1.ReasonSecretRefused, Field: "spec.secret",
		Message: fmt.Sprintf("Secret %q cannot be written, which is retried: %v%s", lifecycle.SecretName(key), e, hint),
	}
}
