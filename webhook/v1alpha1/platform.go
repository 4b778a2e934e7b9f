package v1alpha1

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// platformFields are the fields of a Group that require the verb manage: what the platform promises, charges and forbids,
// and what content servers rely on. Only the webhook can enforce that, since a spec does not record who wrote it: the
// webhook fails closed. Values are compared with their defaults filled in.
var platformFields = []struct {
	path string
	of   func(*v1alpha1.GroupSpec) any
}{
	// A Group without a tier has the catalogue's default. To name that tier is a change: it stays when the default changes.
	{"spec.tier", func(s *v1alpha1.GroupSpec) any { return s.Tier }},
	{"spec.billing", func(s *v1alpha1.GroupSpec) any { return s.Billing }},
	{"spec.limits", func(s *v1alpha1.GroupSpec) any { return s.Limits }},
	{"spec.state", func(s *v1alpha1.GroupSpec) any {
		if s.State == "" {
			return v1alpha1.GroupActive
		}
		return s.State
	}},
	{"spec.context", func(s *v1alpha1.GroupSpec) any { return s.Context }},
	{"spec.sealedContext", func(s *v1alpha1.GroupSpec) any { return s.SealedContext }},
	// With this list, whoever writes a key of the Group decides about a part of the context.
	{"spec.keyPolicy.keysMaySet", func(s *v1alpha1.GroupSpec) any { return s.KeyPolicy.KeysMaySet }},
	{"spec.allowedNamespaces", func(s *v1alpha1.GroupSpec) any {
		if s.AllowedNamespaces.From == "" {
			return v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSame}
		}
		return s.AllowedNamespaces
	}},
}

// cleaners are the users that delete what belongs to a deleted object. The rule groups.deleting does not call the webhook
// for them, so that a namespace can be deleted without a manager, too. Who may put a Group under an owner is checked when
// that happens.
var cleaners = []string{
	"system:serviceaccount:kube-system:namespace-controller",
	"system:serviceaccount:kube-system:generic-garbage-collector",
	"system:kube-controller-manager", // where controllers have no accounts of their own
}

// changed returns the paths of the platform fields that differ.
func changed(old, group *v1alpha1.GroupSpec) []string {
	var paths []string
	for _, f := range platformFields {
		if !equality.Semantic.DeepEqual(f.of(old), f.of(group)) {
			paths = append(paths, f.path)
		}
	}
	return paths
}

// guard returns what the user may not set in a new or changed Group; for a new one, old is an empty Group.
func (w *groups) guard(ctx context.Context, old, group *v1alpha1.Group) (grant.Problems, error) {
	paths := changed(&old.Spec, &group.Spec)
	if owners, err := ownersSet(ctx, old, group); err != nil {
		return nil, err
	} else if owners {
		paths = append(paths, "metadata.ownerReferences")
	}
	problems, err := guardProblems(ctx, old, group)
	if err != nil {
		return nil, err
	}
	unread, err := w.guardSecrets(ctx, old, group)
	if err != nil {
		return nil, err
	}
	problems = append(problems, unread...)
	if len(paths) > 0 {
		user, err := w.mayManage(ctx, group)
		if err != nil {
			return nil, err
		}
		if user != "" {
			for _, path := range paths {
				problems = append(problems, forbidden(path, manageHint(user)))
			}
		}
	}
	if !makesKey(&old.Spec.DefaultKey, &group.Spec.DefaultKey) {
		return problems, nil
	}
	user, err := w.mayNot(ctx, authorizationv1.ResourceAttributes{Resource: "apikeys", Verb: "create", Namespace: group.Namespace})
	if err == nil && user != "" {
		problems = append(problems, forbidden("spec.defaultKey", fmt.Sprintf(
			"it makes an ApiKey, and %s may not create apikeys.keyward.dev in this namespace; "+
				"leave it out, or have that right granted, for instance by the ClusterRole admin", user)))
	}
	return problems, err
}

// forbidden is a problem with the rights of the user, not with the Group.
func forbidden(path, message string) *grant.Problem {
	return &grant.Problem{Reason: v1alpha1.ReasonManageRequired, Type: field.ErrorTypeForbidden, Field: path, Message: message}
}

// ownersSet reports whether a user puts an object under an owner, or changes anything in a reference to an owner: the
// garbage collector deletes an object for which no owner of that kind, name and UID exists. The garbage collector itself may
// change them, as it does to resolve cycles.
func ownersSet(ctx context.Context, old, object client.Object) (bool, error) {
	if !slices.ContainsFunc(object.GetOwnerReferences(), func(owner metav1.OwnerReference) bool {
		return !slices.ContainsFunc(old.GetOwnerReferences(),
			func(was metav1.OwnerReference) bool { return equality.Semantic.DeepEqual(was, owner) })
	}) {
		return false, nil
	}
	request, err := admission.RequestFromContext(ctx)
	return err == nil && !slices.Contains(cleaners, request.UserInfo.Username), err
}

// guardDeletion refuses to delete what the platform has set: a Group that is created again would lack it.
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
	return forbid(ctx, "Group", group.Name, v1alpha1.ReasonManageRequired,
		fmt.Errorf("the deletion would also remove %s: %s", strings.Join(paths, ", "), manageHint(user)))
}

func manageHint(user string) string {
	return fmt.Sprintf("it is the platform's, and %s does not have the verb manage on this Group; "+
		"leave it as it is, or ask for the ClusterRole keyward-platform", user)
}

// makesKey reports whether the change causes a default key to be created.
func makesKey(old, is *v1alpha1.DefaultKey) bool {
	enabled := func(d *v1alpha1.DefaultKey) bool { return d.Enabled != nil && *d.Enabled }
	return enabled(is) && (!enabled(old) || old.Name != is.Name)
}

// mayManage returns the name of the requesting user if that user may not manage the Group, else nothing.
func (w *groups) mayManage(ctx context.Context, group *v1alpha1.Group) (user string, err error) {
	return w.mayNot(ctx, authorizationv1.ResourceAttributes{
		Resource: "groups", Verb: v1alpha1.VerbManage, Namespace: group.Namespace, Name: group.Name,
	})
}

// mayNot returns the name of the requesting user if that user may not do this with Keyward's objects, else nothing.
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
