package syncserver

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/snapshot"
)

// Bounds of a Hello.
const (
	maxInstance  = 253
	maxSelectors = 10_000
)

// subscriber turns a Hello into what the caller may subscribe to. A group or namespace that
// it names must be allowed; of all groups, those that are not allowed are left out.
func (a access) subscriber(ctx context.Context, user authenticationv1.UserInfo, hello *syncv1.Hello) (snapshot.Subscriber, error) {
	none := snapshot.Subscriber{}
	if err := checkHello(hello); err != nil {
		return none, err
	}
	subscriber := snapshot.Subscriber{
		Instance: hello.GetInstance(),
		Identity: user.Username,
		Known:    map[string][]byte{},
	}
	for _, known := range hello.GetKnown() {
		subscriber.Known[known.GetGroup()] = known.GetHash()
	}
	groups, namespaces := hello.GetSelector().GetGroups(), hello.GetSelector().GetNamespaces()
	if len(groups)+len(namespaces) == 0 {
		subscriber.Selects = func(string) bool { return true }
		allowed, err := a.mayValidate(ctx, user, "", "")
		if err != nil {
			return none, err
		}
		if !allowed {
			subscriber.Authorize = func(ctx context.Context, group string) (bool, error) {
				namespace, name, _ := strings.Cut(group, "/")
				return a.mayValidate(ctx, user, namespace, name)
			}
		}
		return subscriber, nil
	}
	for _, group := range groups {
		namespace, name, _ := strings.Cut(group, "/")
		allowed, err := a.mayValidate(ctx, user, namespace, name)
		if err != nil {
			return none, err
		}
		if !allowed {
			return none, denied(user, "Group "+group)
		}
	}
	for _, namespace := range namespaces {
		allowed, err := a.mayValidate(ctx, user, namespace, "")
		if err != nil {
			return none, err
		}
		if !allowed {
			return none, denied(user, "the Groups of namespace "+namespace)
		}
	}
	subscriber.Selects = func(group string) bool {
		namespace, _, _ := strings.Cut(group, "/")
		return slices.Contains(groups, group) || slices.Contains(namespaces, namespace)
	}
	return subscriber, nil
}

func checkHello(hello *syncv1.Hello) error {
	switch n := len(hello.GetInstance()); {
	case hello == nil:
		return status.Error(codes.InvalidArgument, "the first request of a stream is a Hello")
	case n == 0 || n > maxInstance:
		return status.Errorf(codes.InvalidArgument, "instance: give a name of 1 to %d characters", maxInstance)
	}
	selector := hello.GetSelector()
	if len(selector.GetGroups())+len(selector.GetNamespaces()) > maxSelectors {
		return status.Errorf(codes.InvalidArgument, "selector: at most %d groups and namespaces; select whole namespaces", maxSelectors)
	}
	for _, group := range selector.GetGroups() {
		if namespace, name, found := strings.Cut(group, "/"); !found || namespace == "" || name == "" || strings.Contains(name, "/") {
			return status.Errorf(codes.InvalidArgument, "selector: %q is not of the form namespace/name", group)
		}
	}
	if slices.Contains(selector.GetNamespaces(), "") {
		return status.Error(codes.InvalidArgument, "selector: a namespace is empty")
	}
	return nil
}
