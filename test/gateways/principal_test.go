package gateways

import (
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyward-dev/keyward/test/fixture"
)

// verifyPrincipal says what the content server gets that verifies principals.
func verifyPrincipal(t *testing.T, c *client) string {
	for _, headers := range [][]string{{}, {"X-Keyward-Principal: eyJhbGciOiJub25lIn0.e30."}, {"X_Keyward_Principal: evil", "x.keyward.principal: evil"}} {
		got := c.roundTrip(t, c.address, testCase{headers: append([]string{"Authorization: Bearer {key}"}, headers...)})
		if got.seen == nil {
			if got.problem.Code == "header_reserved" && len(headers) > 0 && c.gateway.refusesSpoofs {
				continue
			}
			return summary(got)
		}
		lines := got.seen["X-Keyward-Principal"]
		if len(lines) != 1 || got.seen.Get("X_keyward_principal") != "" || got.seen.Get("X.keyward.principal") != "" {
			t.Fatalf("the content server sees %v", got.seen)
		}
		token, err := jwt.ParseSigned(lines[0], []jose.SignatureAlgorithm{jose.EdDSA})
		if err != nil {
			return err.Error()
		}
		var claims jwt.Claims
		var own struct {
			Group   string `json:"group"`
			Project string `json:"project"`
		}
		if err := token.Claims(c.published, &claims, &own); err != nil {
			return err.Error()
		}
		expected := jwt.Expected{Issuer: fixture.Issuer, AnyAudience: jwt.Audience{fixture.Audience}, ID: got.seen.Get("X-Request-Id"),
			Time: claims.IssuedAt.Time()} // the world's clock stands still
		if err := claims.Validate(expected); err != nil {
			return err.Error()
		}
		if own.Group != got.seen.Get("X-Keyward-Group") || own.Project != "media" || claims.Subject != got.seen.Get("X-Keyward-Key-Id") {
			t.Errorf("the principal says %+v %+v, the headers %v", claims, own, got.seen)
		}
	}
	return "as signed"
}
