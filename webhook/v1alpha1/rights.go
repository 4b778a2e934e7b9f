package v1alpha1

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// right is something that the manager does for an ApiKey, with its own rights, where the author of
// the ApiKey has to have the right, too: otherwise creating ApiKeys would be a way to it.
type right struct {
	// reason is that of conditions, for the count of refusals.
	reason string
	field  string
	// what the manager does, in words, and what mends it beside the right itself.
	what, hint string
	attributes authorizationv1.ResourceAttributes
}

// maxRights is how many rights one ApiKey can take, by its schema: an import, a template, 16 workloads.
const maxRights = 18

// rightsFor are those that a new ApiKey takes, or what a change adds to it: what was there before is
// not asked for again, so that whoever edits the rest needs no more than the right to do that. That
// the key itself is put into an Opaque Secret is what creating an ApiKey is.
func rightsFor(old, key *v1alpha1.ApiKey) []right {
	var rights []right
	if from := key.Spec.ImportFrom; from != nil && !equality.Semantic.DeepEqual(old.Spec.ImportFrom, from) {
		rights = append(rights, right{
			reason: v1alpha1.ReasonImportRefused, field: "spec.importFrom.secretKeyRef.name",
			what: fmt.Sprintf("get Secret %q", shown(from.SecretKeyRef.Name)), hint: "let somebody create the ApiKey who may",
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
	for i, workload := range key.Spec.Secret.Restart {
		if slices.Contains(old.Spec.Secret.Restart, workload) {
			continue
		}
		rights = append(rights, right{
			reason: v1alpha1.ReasonRestartRefused, field: fmt.Sprintf("spec.secret.restart[%d]", i),
			what: fmt.Sprintf("patch %s %q", workload.Kind, shown(workload.Name)), hint: "leave it out",
			attributes: authorizationv1.ResourceAttributes{
				Namespace: key.Namespace, Group: appsv1.GroupName, Version: "v1",
				Resource: strings.ToLower(string(workload.Kind)) + "s", Name: workload.Name, Verb: "patch",
			},
		})
	}
	return rights
}

// adorned is the field in which a template gets a type, a label or an annotation by which somebody
// else may take its Secret for more than a key; "" where there is none.
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

// checkRights refuses a key whose author asks for what they may not do themselves.
func (w *apiKeys) checkRights(ctx context.Context, old, key *v1alpha1.ApiKey) error {
	rights := rightsFor(old, key)
	if len(rights) == 0 {
		return nil
	}
	if len(rights) > maxRights { // more than the schema admits: whoever asks is no API server
		return apierrors.NewBadRequest(fmt.Sprintf("the ApiKey takes %d rights; at most %d are looked at", len(rights), maxRights))
	}
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return fmt.Errorf("finding out who asks: %w", err)
	}
	for _, right := range rights {
		allowed, err := w.access.may(ctx, request.UserInfo, right.attributes)
		if err != nil {
			return err
		}
		if allowed {
			continue
		}
		refusals.WithLabelValues("ApiKey", right.reason).Inc()
		return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "apikeys"}, key.Name,
			fmt.Errorf("%s: user %q may not %s in namespace %q; ask for the right to, or %s",
				right.field, shown(request.UserInfo.Username), right.what, key.Namespace, right.hint))
	}
	return nil
}

// shown is as much of a text as is repeated in a message.
func shown(text string) string {
	const most = 253
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
