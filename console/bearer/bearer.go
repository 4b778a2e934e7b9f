// Package bearer signs people in with a token that the API server accepts, and reaches the API server with that token alone.
package bearer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

const (
	systemPrefix         = "system:"
	serviceAccountPrefix = "system:serviceaccount:"
)

// Tokens are those of one API server.
type Tokens struct {
	server          *rest.Config
	serviceAccounts bool
}

// New returns the tokens of the API server that a config reaches. What it has of credentials is dropped. Tokens of ServiceAccounts are accepted if
// serviceAccounts says so; those of other parts of the cluster never are.
func New(server *rest.Config, serviceAccounts bool) *Tokens {
	anonymous := rest.AnonymousClientConfig(server)
	anonymous.WarningHandler, anonymous.WarningHandlerWithContext = rest.NoWarnings{}, nil // their texts have names of objects
	return &Tokens{anonymous, serviceAccounts}
}

// Anonymous returns how to reach the API server as nobody.
func (t *Tokens) Anonymous() *rest.Config { return rest.CopyConfig(t.server) }

// Reach returns how to reach the API server as whom the token of a sign-in is of, with nothing else that the API server could know anybody by.
func (t *Tokens) Reach(of session.Claims) (*rest.Config, error) {
	token := of.Credential.Reveal()
	if token == "" {
		return nil, errors.New("the sign-in has no token")
	}
	config := t.Anonymous()
	config.BearerToken = token
	return config, nil
}

// Verify asks the API server whom a token is of. It returns an error that wraps *web.SignInError if it is of nobody who may sign in.
func (t *Tokens) Verify(ctx context.Context, token string) (session.Claims, error) {
	claims := session.Claims{Credential: session.NewCredential(token), Ends: expiry(token)}
	config, err := t.Reach(claims)
	if err != nil {
		return session.Claims{}, err
	}
	review, err := Review(ctx, config)
	if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) {
		return session.Claims{}, &web.SignInError{Text: "The API server does not know this token."}
	}
	if err != nil {
		return session.Claims{}, err
	}
	if err := t.permit(review.Username); err != nil {
		return session.Claims{}, err
	}
	claims.Name, claims.Groups = review.Username, review.Groups
	return claims, nil
}

// Review returns whom the API server takes the credential of a config for.
func Review(ctx context.Context, config *rest.Config) (authenticationv1.UserInfo, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return authenticationv1.UserInfo{}, fmt.Errorf("reaching the API server: %w", err)
	}
	review, err := clients.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, fmt.Errorf("asking the API server who this is: %w", err)
	}
	return review.Status.UserInfo, nil
}

func (t *Tokens) permit(name string) error {
	switch {
	case name == "":
		return &web.SignInError{Text: "The API server has no name for who has this token."}
	case strings.HasPrefix(name, serviceAccountPrefix):
		if t.serviceAccounts {
			return nil
		}
		return &web.SignInError{Text: "This is the token of a ServiceAccount. This console is for people; --allow-service-accounts would accept it."}
	case strings.HasPrefix(name, systemPrefix):
		return &web.SignInError{Text: "This is the token of a part of the cluster. The console is for people."}
	}
	return nil
}

// expiry is when a token says that it ends, if it is a JSON Web Token; else the zero time. The API server has verified it; here it only ends the
// session in time.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Ends float64 `json:"exp"`
	}
	const most = 1 << 40 // beyond it, times do not fit in formats
	if json.Unmarshal(text, &claims) != nil || claims.Ends <= 0 || claims.Ends > most {
		return time.Time{}
	}
	return time.Unix(int64(claims.Ends), 0)
}
