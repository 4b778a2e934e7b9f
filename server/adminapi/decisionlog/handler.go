package decisionlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const defaultLimit = 100

// parameters are those of the query.
var parameters = []string{adminv1.DecisionsRequestID, adminv1.DecisionsKeyID, adminv1.DecisionsCode, adminv1.DecisionsLimit}

// Disabled answers that decisions are not kept.
func Disabled(w http.ResponseWriter, _ *http.Request) {
	httpapi.NewProblem(http.StatusNotFound, "decisions_off", "Decisions are not kept",
		"Start the validator with --admin-token-file to keep the last decisions and to read them here.").Denial().Write(w)
}

// Handler returns decisions: GET with the query of api/admin/v1. It asks for no token: that is up to the caller.
func (r *Ring) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		query, err := read(request.URL)
		if err != nil {
			httpapi.NewProblem(http.StatusBadRequest, "query_invalid", "Query not understood", err.Error()).Denial().Write(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(adminv1.Decisions{Decisions: r.Find(query)}) // a client that has disconnected needs no response
	})
}

func read(target *url.URL) (Query, error) {
	query := Query{Limit: defaultLimit}
	given, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return Query{}, errors.New("the query is not properly encoded")
	}
	for name, values := range given {
		if !slices.Contains(parameters, name) {
			return Query{}, errors.New("the parameters are " + strings.Join(parameters, ", "))
		}
		if len(values) != 1 {
			return Query{}, fmt.Errorf("%s: give it once", name)
		}
		switch value := values[0]; name {
		case adminv1.DecisionsRequestID:
			query.RequestID = value
		case adminv1.DecisionsKeyID:
			query.KeyID = value
		case adminv1.DecisionsCode:
			if !isCode(value) {
				return Query{}, errors.New("code: there is no such code; write one such as key_expired")
			}
			query.Code = value
		default:
			if query.Limit, err = strconv.Atoi(value); err != nil || query.Limit < 1 || query.Limit > adminv1.MaxDecisions {
				return Query{}, fmt.Errorf("limit: write a number from 1 to %d", adminv1.MaxDecisions)
			}
		}
	}
	return query, nil
}

func isCode(name string) bool {
	return slices.ContainsFunc(decision.Codes(), func(code decision.Code) bool { return code.String() == name })
}
