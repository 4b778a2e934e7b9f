package credential_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestUsualHeaders: where keys are by default.
func TestUsualHeaders(t *testing.T) {
	var usual *credential.Locations
	key, other := mint(t), mint(t)
	for name, c := range map[string]struct {
		authorization, apiKey []string
		want                  decision.Form
	}{
		"nothing":                   {nil, nil, decision.Absent},
		"bearer":                    {[]string{"Bearer " + key}, nil, decision.WellFormed},
		"bearer lowercase":          {[]string{"bearer " + key}, nil, decision.WellFormed},
		"bearer uppercase":          {[]string{"BEARER " + key}, nil, decision.WellFormed},
		"bearer, two spaces":        {[]string{"Bearer  " + key}, nil, decision.WellFormed},
		"bare":                      {[]string{key}, nil, decision.WellFormed},
		"space around":              {[]string{" \t" + key + "\t "}, nil, decision.WellFormed},
		"x-api-key":                 {nil, []string{key}, decision.WellFormed},
		"same in both":              {[]string{"Bearer " + key}, []string{key}, decision.WellFormed},
		"basic and x-api-key":       {[]string{"Basic dTpw"}, []string{key}, decision.WellFormed},
		"digest and x-api-key":      {[]string{`Digest a="b", c="d"`}, []string{key}, decision.WellFormed},
		"basic only":                {[]string{"Basic dTpw"}, nil, decision.Absent},
		"empty":                     {[]string{""}, []string{" "}, decision.Absent},
		"empty and x-api-key":       {[]string{""}, []string{key}, decision.WellFormed},
		"bearer alone":              {[]string{"Bearer"}, nil, decision.Malformed},
		"bearer and space":          {[]string{"Bearer "}, nil, decision.Malformed},
		"bearer alone and key":      {[]string{"Bearer"}, []string{key}, decision.Malformed},
		"bearer with tab":           {[]string{"Bearer\t" + key}, nil, decision.Malformed},
		"cut off":                   {[]string{"Bearer " + key[:30]}, nil, decision.Foreign},
		"not a key":                 {[]string{"Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"}, nil, decision.Foreign},
		"bare and not a key":        {[]string{"secret"}, nil, decision.Malformed},
		"quoted":                    {[]string{`Bearer "` + key + `"`}, nil, decision.Foreign},
		"something behind":          {[]string{key + " x"}, nil, decision.Malformed},
		"something behind bearer":   {[]string{"Bearer " + key + " x"}, nil, decision.Malformed},
		"tab inside":                {[]string{key[:9] + "\t" + key[9:]}, nil, decision.Malformed},
		"control character":         {[]string{key + "\x00"}, nil, decision.Malformed},
		"two lines":                 {[]string{"Bearer " + key, "Bearer " + key}, nil, decision.Malformed},
		"two lines of x-api-key":    {nil, []string{key, key}, decision.Malformed},
		"joined by a comma":         {[]string{"Bearer " + key + ",Bearer " + key}, nil, decision.Malformed},
		"joined by comma and space": {[]string{"Bearer " + key + ", Bearer " + key}, nil, decision.Malformed},
		"x-api-key joined":          {nil, []string{key + "," + key}, decision.Foreign},
		"different in both":         {[]string{"Bearer " + key}, []string{other}, decision.Malformed},
		"malformed x-api-key too":   {[]string{key}, []string{"x"}, decision.Malformed},
		"basic with a password":     {[]string{"Basic " + base64.StdEncoding.EncodeToString([]byte(key+":pw"))}, []string{key}, decision.Malformed},
		"basic, as the password":    {[]string{"Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+key))}, []string{key}, decision.Malformed},
		"basic, without padding":    {[]string{"Basic " + strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(key+":")), "=")}, []string{key}, decision.Malformed},
		"basic with another key":    {[]string{"basic " + base64.RawURLEncoding.EncodeToString([]byte(other+":pw"))}, []string{key}, decision.Malformed},
		"another scheme, a key":     {[]string{"Token " + other}, []string{key}, decision.Malformed},
		"another scheme, quoted":    {[]string{`Token token="` + other + `"`}, []string{key}, decision.Malformed},
		"another scheme, no key":    {[]string{"Token 0123456789"}, []string{key}, decision.WellFormed},
		"basic joined with bearer":  {[]string{"Basic dTpw,Bearer " + key}, []string{key}, decision.Malformed},
		"basic joined with a key":   {[]string{"Basic dTpw, " + key}, []string{key}, decision.Malformed},
		"basic joined with basic":   {[]string{"Basic dTpw=,Basic dTpw="}, []string{key}, decision.Malformed},
		"basic joined with nothing": {[]string{"Basic dTpw,"}, []string{key}, decision.Malformed},
		"a comma in a parameter":    {[]string{`Digest a="b, c \", d", e = f`}, []string{key}, decision.WellFormed},
		"two lines, one basic":      {[]string{"Basic dTpw", "Bearer " + key}, nil, decision.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			got := usual.Read(http.Header{credential.HeaderAuthorization: c.authorization, credential.HeaderAPIKey: c.apiKey}, "", "").Credential
			if got.Form != c.want {
				t.Errorf("got %v, want %v", got.Form, c.want)
			}
			if got.Form == decision.WellFormed && got.Digest != keyformat.DigestOf(key) {
				t.Error("the digest of something else")
			}
		})
	}
}
