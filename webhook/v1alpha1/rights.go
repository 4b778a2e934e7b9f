package v1alpha1

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// right is something that the manager does for an ApiKey, with its own rights, where the author of
// the ApiKey must have the right, too: otherwise a user could gain it by creating ApiKeys.
type right struct {
	// reason is the one of conditions, for the metric of refusals.
	reason string
	field  string
	// what is what the manager does, in words; hint is how to fix it without the right.
	what, hint string
	attributes authorizationv1.ResourceAttributes
}

// maxRights is how many rights one ApiKey can require, by its schema: an import, a template, 16 workloads, 16 notified objects.
const maxRights = 34

// rightsFor returns the rights that a new ApiKey requires, or that a change adds: those of what was there before are
// not checked again, so that a user who edits the rest needs only the right to do that. To put
// the key itself into an Opaque Secret requires no right beyond that to create ApiKeys.
func rightsFor(old, key *v1alpha1.ApiKey) []right {
	var rights []right
	from := key.Spec.ImportFrom
	if from != nil && equality.Semantic.DeepEqual(old.Spec.ImportFrom, from) {
		from = nil
	}
	switch {
	case from == nil:
	case lifecycle.ImportsDigest(key):
		// A hash is less of a secret than a text: who has seen that of another's key could take it, before its owner imports it.
		rights = append(rights, right{
			reason: v1alpha1.ReasonImportRefused, field: "spec.importFrom.sha256",
			what: "import keys by their hash", hint: "import the text by secretKeyRef",
			attributes: authorizationv1.ResourceAttributes{
				Namespace: key.Namespace, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
				Resource: "apikeys", Name: key.Name, Verb: v1alpha1.VerbImport,
			},
		})
	default:
		rights = append(rights, right{
			reason: v1alpha1.ReasonImportRefused, field: "spec.importFrom.secretKeyRef.name",
			what: fmt.Sprintf("get Secret %q", shown(from.SecretKeyRef.Name)), hint: "let somebody create the ApiKey who has it",
			attributes: authorizationv1.ResourceAttributes{
				Namespace: key.Namespace, Version: "v1", Resource: "secrets", Name: from.SecretKeyRef.Name, Verb: "get",
			},
		})
	}
	if field := adorned(&old.Spec.Secret.Template, &key.Spec.Secret.Template); field != "" {
		rights = append(rights, right{
			reason: v1alpha1.ReasonSecretRefused, field: "spec.secret.template." + field,
			what: "create Secrets, and others act on this", hint: "leave " + field + " out",
			attributes: authorizationv1.ResourceAttributes{Namespace: key.Namespace, Version: "v1", Resource: "secrets", Verb: "create"},
		})
	}
	rights = append(rights, rightsToPatch(key.Namespace, v1alpha1.ReasonRestartRefused, grant.Restarts(old), grant.Restarts(key))...)
	return append(rights, rightsToPatch(key.Namespace, v1alpha1.ReasonNotifyRefused, grant.Notifies(old), grant.Notifies(key))...)
}

// rightsToPatch returns the rights to patch what the manager is to patch, and did not before.
func rightsToPatch(namespace, reason string, old, targets []grant.Target) (rights []right) {
	for _, target := range targets {
		same := func(was grant.Target) bool { return was.Kind == target.Kind && was.Name == target.Name }
		if slices.ContainsFunc(old, same) {
			continue
		}
		rights = append(rights, right{
			reason: reason, field: target.Field, what: fmt.Sprintf("patch %s %q", target.Kind, shown(target.Name)), hint: "leave it out",
			attributes: authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: target.GroupVersion.Group, Version: target.GroupVersion.Version,
				Resource: target.Resource, Name: target.Name, Verb: "patch",
			},
		})
	}
	return rights
}

// adorned returns the field in which a template gets a type, a label or an annotation that can cause other programs
// to treat its Secret as more than a key; "" where there is none.
func adorned(old, template *v1alpha1.SecretTemplate) string {
	if opaque := template.Type == "" || template.Type == string(corev1.SecretTypeOpaque); !opaque && template.Type != old.Type {
		return "type"
	}
	for name, value := range template.Labels {
		if was, had := old.Labels[name]; !had || was != value {
			return "labels"
		}
	}
	for name, value := range template.Annotations {
		if was, had := old.Annotations[name]; !had || was != value {
			return "annotations"
		}
	}
	return ""
}

// checkRights refuses a key whose author requests what they may not do themselves. It names all rights that are missing.
func (w *apiKeys) checkRights(ctx context.Context, old, key *v1alpha1.ApiKey) error {
	rights := rightsFor(old, key)
	if len(rights) == 0 {
		return nil
	}
	if len(rights) > maxRights { // more than the schema admits: the request is not from an API server
		return &refusal{apierrors.NewBadRequest(fmt.Sprintf("the ApiKey requires %d rights; at most %d are checked", len(rights), maxRights))}
	}
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return fmt.Errorf("finding out who sends the request: %w", err)
	}
	var missing []error
	var reason string // of the first
	for _, right := range rights {
		allowed, err := w.access.may(ctx, request.UserInfo, right.attributes)
		if err != nil {
			return err
		}
		if allowed {
			continue
		}
		reason = cmp.Or(reason, right.reason)
		missing = append(missing, fmt.Errorf("%s: user %q may not %s in namespace %q; ask for the right to, or %s",
			right.field, shown(request.UserInfo.Username), right.what, key.Namespace, right.hint))
	}
	if len(missing) == 0 {
		return nil
	}
	return forbid(ctx, "ApiKey", key.Name, reason, utilerrors.NewAggregate(missing))
}

// shown returns as much of a text as messages repeat.
func shown(text string) string {
	const most = 253
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
