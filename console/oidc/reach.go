package oidc

import (
	"errors"

	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/session"
)

// Reach returns how to reach the API server as somebody who is impersonated, and by otherwise those who have a credential. Anonymous reaches it as
// nobody. What is configured is checked each time: a cookie from before it was changed, or that somebody has made who has the secrets, is good for no
// other group.
func (i *Impersonation) Reach(anonymous *rest.Config, otherwise func(session.Claims) (*rest.Config, error)) func(session.Claims) (*rest.Config, error) {
	return func(of session.Claims) (*rest.Config, error) {
		if of.Credential.Reveal() != "" {
			return otherwise(of)
		}
		if err := i.Permit(of.Name, of.Groups); err != nil {
			return nil, err
		}
		if i.TokenFile == "" {
			return nil, errors.New("the console has no credential of its own")
		}
		config := rest.AnonymousClientConfig(anonymous)
		config.WarningHandlerWithContext = rest.NoWarnings{}
		config.BearerTokenFile = i.TokenFile
		config.Impersonate = rest.ImpersonationConfig{UserName: of.Name, Groups: of.Groups}
		return config, nil
	}
}
