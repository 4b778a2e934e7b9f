package adminapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const minToken = 16

// RequireToken passes on requests that present the token in the file. The file is read for each request, so that the token
// can be replaced.
func RequireToken(tokenFile string, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := ReadToken(tokenFile)
		if err != nil {
			log.Error("cannot read the admin token; requests that need it are refused", slog.Any("error", err))
			httpapi.NewProblem(http.StatusServiceUnavailable, "admin_token_unreadable", "No token to compare with",
				"The validator cannot read the file of --admin-token-file. Its log says why.").Denial().Write(w)
			return
		}
		if !presents(r, token) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="keyward admin"`)
			httpapi.NewProblem(http.StatusUnauthorized, "admin_token_invalid", "The admin token is missing or wrong",
				"Send the token of the validator's --admin-token-file as 'Authorization: Bearer <token>'.").Denial().Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ReadToken returns the token in a file, without surrounding white space.
func ReadToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("%s holds fewer than %d characters: write a random token into it", file, minToken)
	}
	return token, nil
}

// presents reports whether the request carries the token. The time that it takes reveals nothing about the token, not even
// its length.
func presents(r *http.Request, token string) bool {
	lines := r.Header["Authorization"]
	if len(lines) != 1 {
		return false
	}
	scheme, presented, _ := strings.Cut(lines[0], " ")
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
