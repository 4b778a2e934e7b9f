package v1alpha1

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// platformFields are those of a Group that take the verb manage: what the platform promises, charges and forbids,
// and what content believes. Nobody else enforces that, for a spec does not say who wrote it: the webhook fails
// closed. Values are compared as they are meant, with defaults filled in.
var platformFields = []struct {
	path string
	of   func(*v1alpha1.GroupSpec) any
}{
	// No tier is the catalogue's default. Naming it is more than that: it stays when the catalogue's changes.
	{"spec.tier", func(s *v1alpha1.GroupSpec) any { return s.Tier }},
	{"spec.limits", func(s *v1alpha1.GroupSpec) any { return s.Limits }},
	{"spec.state", func(s *v1alpha1.GroupSpec) any {
		if s.State == "" {
			return v1alpha1.GroupActive
		}
		return s.State
	}},
	{"spec.context", func(s *v1alpha1.GroupSpec) any { return s.Context }},
	{"spec.allowedNamespaces", func(s *v1alpha1.GroupSpec) any {
		if s.AllowedNamespaces.From == "" {
			return v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSame}
		}
		return s.AllowedNamespaces
	}},
}

// cleaners delete what belongs to an object that is gone. The rule groups.deleting does not call the webhook for them,
// so that a namespace ends without a manager, too. Who may bring a Group under an owner is asked when it is.
var cleaners = []string{
	"system:serviceaccount:kube-system:namespace-controller",
	"system:serviceaccount:kube-system:generic-garbage-collector",
	"system:kube-controller-manager", // where controllers have no accounts of their own
}

// changed are the platform fields that differ.
func changed(old, group *v1alpha1.GroupSpec) []string {
	var paths []string
	for _, f := range platformFields {
		if !equality.Semantic.DeepEqual(f.of(old), f.of(group)) {
			paths = append(paths, f.path)
		}
	}
	return paths
}

// guard returns what of a new or changed Group its user may not set; old is an empty Group for a new one.
func (w *groups) guard(ctx context.Context, old, group *v1alpha1.Group) (field.ErrorList, error) {
	paths := changed(&old.Spec, &group.Spec)
	if owners, err := ownersSet(ctx, old, group); err != nil {
		return nil, err
	} else if owners {
		paths = append(paths, "metadata.ownerReferences")
	}
	var problems field.ErrorList
	if len(paths) > 0 {
		user, err := w.mayManage(ctx, group)
		if err != nil {
			return nil, err
		}
		if user != "" {
			for _, path := range paths {
				problems = append(problems, field.Forbidden(field.NewPath(path), manageHint(user)))
			}
		}
	}
	if !makesKey(&old.Spec.DefaultKey, &group.Spec.DefaultKey) {
		return problems, nil
	}
	user, err := w.mayNot(ctx, authorizationv1.ResourceAttributes{Resource: "apikeys", Verb: "create", Namespace: group.Namespace})
	if err == nil && user != "" {
		problems = append(problems, field.Forbidden(field.NewPath("spec.defaultKey"), fmt.Sprintf(
			"it makes an ApiKey, and %s may not create apikeys.keyward.dev in this namespace; leave it out, or have that right granted, as by the ClusterRole admin", user)))
	}
	return problems, err
}

// ownersSet reports whether a user brings a Group under an owner, or changes anything of what names one that it has: the
// garbage collector deletes a Group whose owner of that kind, name and UID there is not. It may itself change them, as
// it does to resolve circles.
func ownersSet(ctx context.Context, old, group *v1alpha1.Group) (bool, error) {
	if !slices.ContainsFunc(group.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return !slices.ContainsFunc(old.OwnerReferences, func(was metav1.OwnerReference) bool { return equality.Semantic.DeepEqual(was, owner) })
	}) {
		return false, nil
	}
	request, err := admission.RequestFromContext(ctx)
	return err == nil && !slices.Contains(cleaners, request.UserInfo.Username), err
}

// guardDeletion refuses to delete what the platform set: created again it would be without.
func (w *groups) guardDeletion(ctx context.Context, group *v1alpha1.Group) error {
	paths := changed(&v1alpha1.GroupSpec{}, &group.Spec)
	if len(paths) == 0 {
		return nil
	}
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(cleaners, request.UserInfo.Username) {
		return nil
	}
	user, err := w.mayManage(ctx, group)
	if err != nil || user == "" {
		return err
	}
	refusals.WithLabelValues("Group", v1alpha1.ReasonManageRequired).Inc()
	return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "groups"}, group.Name,
		fmt.Errorf("with it would go %s: %s", strings.Join(paths, ", "), manageHint(user)))
}

func manageHint(user string) string {
	return fmt.Sprintf("it is the platform's, and %s does not have the verb manage on this Group; leave it as it is, or ask for the ClusterRole keyward-platform", user)
}

// makesKey reports whether the change has a default key made.
func makesKey(old, is *v1alpha1.DefaultKey) bool {
	enabled := func(d *v1alpha1.DefaultKey) bool { return d.Enabled != nil && *d.Enabled }
	return enabled(is) && (!enabled(old) || old.Name != is.Name)
}

// mayManage returns the name of the requesting user if that may not manage the Group, else nothing.
func (w *groups) mayManage(ctx context.Context, group *v1alpha1.Group) (user string, err error) {
	return w.mayNot(ctx, authorizationv1.ResourceAttributes{
		Resource: "groups", Verb: v1alpha1.VerbManage, Namespace: group.Namespace, Name: group.Name,
	})
}

// mayNot returns the name of the requesting user if that may not do it with Keyward's objects, else nothing.
func (w *groups) mayNot(ctx context.Context, attributes authorizationv1.ResourceAttributes) (user string, err error) {
	request, err := admission.RequestFromContext(ctx)
	if err != nil {
		return "", err
	}
	attributes.Group, attributes.Version = v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
	allowed, err := w.access.may(ctx, request.UserInfo, attributes)
	if err != nil || allowed {
		return "", err
	}
	return nameOf(request.UserInfo), nil
}

func nameOf(user authenticationv1.UserInfo) string {
	if user.Username == "" {
		return "a user without a name"
	}
	return fmt.Sprintf("user %q", user.Username)
}
