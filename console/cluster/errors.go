package cluster

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/role"
)

// reading returns an error of the API server as that of a Desk: what a person may not read does not exist for them.
func reading(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return fmt.Errorf("%w: %w", web.ErrNotFound, err)
	}
	return err
}

// changing returns an error of the API server about a change of what a person may read.
func changing(err error) error {
	var status *apierrors.StatusError
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err) && errors.As(err, &status) && byPolicy(status.ErrStatus.Message):
		return invalid("", shorten(status.ErrStatus.Message))
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: %w", web.ErrForbidden, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %w", web.ErrNotFound, err)
	case apierrors.IsAlreadyExists(err):
		return invalid("name", "This name is taken.")
	case apierrors.IsConflict(err):
		return fmt.Errorf("%w: %w", web.ErrConflict, err)
	case apierrors.IsInvalid(err) && errors.As(err, &status):
		return fields(status)
	case apierrors.IsBadRequest(err) && errors.As(err, &status): // what a webhook refuses without a code of its own
		return invalid("", shorten(status.ErrStatus.Message))
	}
	return err
}

// byPolicy reports whether a message is of a webhook of the platform that does not accept what was sent. Those of Keyward say who may not.
func byPolicy(message string) bool {
	return strings.Contains(message, "denied the request") && !strings.Contains(message, "."+v1alpha1.GroupVersion.Group+"\" denied")
}

// forbidden is an error that says which right is missing.
func forbidden(format string, args ...any) error {
	return fmt.Errorf("%w: %s", web.ErrForbidden, fmt.Sprintf(format, args...))
}

// lacks is an error that says which role an operation in a namespace needs.
func lacks(o role.Operation, namespace string) error {
	lowest, ok := role.Lowest(o)
	if !ok {
		return web.ErrForbidden
	}
	return forbidden("it needs the role %s in the namespace %s, which is the ClusterRoles %s, bound there", lowest, namespace,
		strings.Join(role.ClusterRoles(lowest), ", "))
}

// cannotBeTried reports whether an API server has not tried what it was asked to, because a webhook of the platform takes part only in what is done.
func cannotBeTried(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}

// maxMessage is how many bytes of a message of the API server are shown.
const maxMessage = 1000

// fields says which fields of a form an answer of the API server is about.
func fields(status *apierrors.StatusError) error {
	found := map[string]string{}
	if details := status.ErrStatus.Details; details != nil {
		for _, cause := range details.Causes {
			name, message := view.FormField(cause.Field), shorten(cause.Message)
			if name == "" && cause.Field != "" {
				message = shorten(cause.Field + ": " + cause.Message)
			}
			if found[name] == "" {
				found[name] = message
			}
		}
	}
	if len(found) == 0 {
		found[""] = shorten(status.ErrStatus.Message)
	}
	return &web.InvalidError{Fields: found}
}

func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + "…"
}

// invalid is a problem of one field of a form; empty: of the whole.
func invalid(field, message string) error {
	return &web.InvalidError{Fields: map[string]string{field: message}}
}
