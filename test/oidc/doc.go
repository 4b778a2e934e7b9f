// Package oidc tests the sign-in of the console with the OpenID provider of zitadel/oidc. It has no code of its own.
package oidc
