package syncserver

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// access asks the API server who a validation server is and what it may have.
type access struct {
	client client.Client
}

// authenticate reviews the bearer token of the call.
func (a access) authenticate(ctx context.Context) (authenticationv1.UserInfo, error) {
	token, err := bearerToken(ctx)
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{
		Token:     token,
		Audiences: []string{v1alpha1.SyncAudience},
	}}
	if err := a.client.Create(ctx, review); err != nil {
		return authenticationv1.UserInfo{}, status.Errorf(codes.Unavailable, "the token could not be reviewed: %v", err)
	}
	if !review.Status.Authenticated {
		return authenticationv1.UserInfo{}, status.Errorf(codes.Unauthenticated,
			"the token is not valid for the audience %s; mount a projected ServiceAccount token with that audience", v1alpha1.SyncAudience)
	}
	return review.Status.User, nil
}

func bearerToken(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) == 1 {
		if scheme, token, found := strings.Cut(values[0], " "); found && strings.EqualFold(scheme, "bearer") && token != "" {
			return token, nil
		}
	}
	return "", status.Error(codes.Unauthenticated, "send one authorization header with a bearer token")
}

// mayValidate is whether the user may `validate` the Group; an empty name stands for all of
// the namespace, an empty namespace for all namespaces.
func (a access) mayValidate(ctx context.Context, user authenticationv1.UserInfo, namespace, name string) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
			Resource: "groups", Verb: v1alpha1.VerbValidate,
			Namespace: namespace, Name: name,
		},
	}}
	if err := a.client.Create(ctx, review); err != nil {
		return false, status.Errorf(codes.Unavailable, "access could not be reviewed: %v", err)
	}
	return review.Status.Allowed, nil
}

func denied(user authenticationv1.UserInfo, what string) error {
	return status.Error(codes.PermissionDenied, fmt.Sprintf("%s may not %s %s; bind it to a Role with the verb %s on groups.%s",
		user.Username, v1alpha1.VerbValidate, what, v1alpha1.VerbValidate, v1alpha1.GroupVersion.Group))
}
