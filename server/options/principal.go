package options

import (
	"errors"
	"flag"
	"strings"
)

const maxClaim = 255

// principalFlags are about what is signed for content servers.
func (c *Config) principalFlags(flags *flag.FlagSet) {
	flags.StringVar(&c.Principal.Path, "principal-key-file", "",
		"PEM `file` with Ed25519 keys (PKCS #8), or directory of such files in the order of their names, with which X-Keyward-Principal "+
			"is signed; they are read again when they change; without it nothing is signed")
	flags.StringVar(&c.Principal.Issuer, "principal-issuer", "keyward.dev", "`name` of these validation servers, the claim iss of principals")
	flags.StringVar(&c.Principal.Audience, "principal-audience", "keyward.dev/content",
		"`name` of the content servers that principals are for, the claim aud")
}

func (c *Config) checkPrincipal() error {
	for name, claim := range map[string]string{"issuer": c.Principal.Issuer, "audience": c.Principal.Audience} {
		if claim == "" || len(claim) > maxClaim || strings.ContainsFunc(claim, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("--principal-" + name + ": write a name of 1 to 255 printable ASCII characters without spaces, " +
				"such as https://keyward.acme.example")
		}
	}
	return nil
}
