package decisionlog

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	// Path is where decisions are told.
	Path = "/v1/decisions"

	minToken     = 16
	defaultLimit = 100
	maxLimit     = 1000
)

// Off answers in place of decisions that are not remembered.
func Off(w http.ResponseWriter, _ *http.Request) {
	httpapi.NewProblem(http.StatusNotFound, "decisions_off", "Decisions are not kept",
		"Start the validator with --admin-token-file to keep the last decisions and to read them here.").Denial().Write(w)
}

// Handler tells decisions to whoever presents the token in the file.
func (r *Ring) Handler(tokenFile string, log *slog.Logger) http.Handler {
	return Guard(tokenFile, log, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		query, err := read(request.URL)
		if err != nil {
			httpapi.NewProblem(http.StatusBadRequest, "query_invalid", "Query not understood", err.Error()).Denial().Write(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{"decisions": r.Find(query)}) // a client that has gone needs no answer
	}))
}

// Guard lets requests through that present the token in the file. The file is read for each
// request, so that the token can be replaced.
func Guard(tokenFile string, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		token, err := ReadToken(tokenFile)
		if err != nil {
			log.Error("nobody can use what needs the admin's token", slog.Any("error", err))
			httpapi.NewProblem(http.StatusServiceUnavailable, "admin_token_unreadable", "No token to compare with",
				"The validator cannot read the file of --admin-token-file. Its log says why.").Denial().Write(w)
			return
		}
		if !presents(request, token) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="keyward admin"`)
			httpapi.NewProblem(http.StatusUnauthorized, "admin_token_invalid", "Not for everybody",
				"Send the token of the validator's --admin-token-file as 'Authorization: Bearer <token>'.").Denial().Write(w)
			return
		}
		next.ServeHTTP(w, request)
	})
}

// ReadToken returns the token in a file, without white space around it.
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

// presents compares in a time that tells nothing of the token, not even its length.
func presents(request *http.Request, token string) bool {
	lines := request.Header["Authorization"]
	if len(lines) != 1 {
		return false
	}
	scheme, presented, _ := strings.Cut(lines[0], " ")
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

func read(target *url.URL) (Query, error) {
	query := Query{Limit: defaultLimit}
	parameters, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return Query{}, errors.New("the query is not properly encoded")
	}
	for name, values := range parameters {
		if len(values) != 1 {
			return Query{}, fmt.Errorf("%q: give it once", name)
		}
		switch value := values[0]; name {
		case "request_id":
			query.RequestID = value
		case "key_id":
			query.KeyID = value
		case "code":
			if !isCode(value) {
				return Query{}, errors.New("code: there is no such code; write one such as key_expired")
			}
			query.Code = value
		case "limit":
			if query.Limit, err = strconv.Atoi(value); err != nil || query.Limit < 1 || query.Limit > maxLimit {
				return Query{}, fmt.Errorf("limit: write a number from 1 to %d", maxLimit)
			}
		default:
			return Query{}, errors.New("the parameters are request_id, key_id, code and limit")
		}
	}
	return query, nil
}

func isCode(name string) bool {
	for _, code := range decision.Codes() {
		if code.String() == name {
			return true
		}
	}
	return false
}
