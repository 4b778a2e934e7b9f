package apikey

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	if isImmutable(e.cause) {
		hint = "; if the Secret is immutable, undo the change of spec.secret, or create another ApiKey and let its users read that one: " +
			"to delete this Secret would end the key that it has at once"
	}
	return &grant.Problem{
		Reason: v1alpha1.ReasonSecretRefused, Field: "spec.secret",
		Message: fmt.Sprintf("Secret %q cannot be written, which is retried: %v%s", lifecycle.SecretName(key), e, hint),
	}
}

// isImmutable reports whether the API server refuses to change a Secret because that Secret is immutable, and not because of a
// policy, whose refusals have the same code: to delete the Secret would be no help then, and end its key.
func isImmutable(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool {
		return (cause.Field == "data" || cause.Field == "immutable" || cause.Field == "type") && strings.Contains(cause.Message, "immutable")
	})
}
