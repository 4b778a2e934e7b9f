package syncserver

import (
	"context"
	"crypto/sha256"
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

// access asks the API server who a validation server is, and which Groups it may validate.
type access struct {
	client   client.Client
	attempts *attempts
}

var errToken = status.Errorf(codes.Unauthenticated,
	"the token is not valid for the audience %s; mount a projected ServiceAccount token with that audience", v1alpha1.SyncAudience)

// authenticate reviews the bearer token of the call.
func (a access) authenticate(ctx context.Context) (identity, error) {
	text, err := bearerToken(ctx)
	if err != nil {
		return identity{}, err
	}
	ask := func() (user authenticationv1.UserInfo, good bool, err error) {
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{
			Token:     text,
			Audiences: []string{v1alpha1.SyncAudience},
		}}
		if err := a.client.Create(ctx, review); err != nil {
			return user, false, status.Errorf(codes.Unavailable, "the token could not be reviewed: %v", err)
		}
		return review.Status.User, review.Status.Authenticated, nil
	}
	user, err := a.attempts.review(ctx, sha256.Sum256([]byte(text)), addressOf(ctx), ask)
	return identityOf(user), err
}

// maxToken is the maximum length of an authorization header.
const maxToken = 16 << 10

func bearerToken(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) == 1 && len(values[0]) <= maxToken {
		if scheme, token, found := strings.Cut(values[0], " "); found && strings.EqualFold(scheme, "bearer") && token != "" {
			return token, nil
		}
	}
	return "", status.Error(codes.Unauthenticated, "send one authorization header with a bearer token")
}

// mayValidate reports whether the user may `validate` the Group; an empty name stands for all Groups of the namespace, an
// empty namespace for all namespaces.
func (a access) mayValidate(ctx context.Context, id identity, q groupName) (bool, error) {
	user := id.user
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: id.extra(),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
			Resource: "groups", Verb: v1alpha1.VerbValidate,
			Namespace: q.namespace, Name: q.name,
		},
	}}
	if err := a.client.Create(ctx, review); err != nil {
		return false, status.Errorf(codes.Unavailable, "access could not be reviewed: %v", err)
	}
	return review.Status.Allowed, nil
}

func denied(id identity, what string) error {
	return status.Error(codes.PermissionDenied, fmt.Sprintf("%s may not %s %s; bind it to a Role with the verb %s on groups.%s",
		id.user.Username, v1alpha1.VerbValidate, what, v1alpha1.VerbValidate, v1alpha1.GroupVersion.Group))
}
