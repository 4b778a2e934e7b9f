package usageapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/usage"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Teller knows the use of keys.
type Reporter interface {
	// Tell returns the keys that the function wants, those with the most requests first, up to
	// a limit, and how many there are in all.
	Report(wants func(id, group string) bool, limit int) (told []usage.Key, all int)
}

// errUnknown is that there is no such group or key here.
var errUnknown = errors.New("it is not known here")

// question is what is asked for: a group or a key.
type usageRequest struct {
	group, key string
	limit      int
}

// answer is Total keys that were used, of which Keys are told.
type usageResponse struct {
	Keys  []usage.Key `json:"keys"`
	Total int         `json:"total"`
}

// Tell tells the use of the keys of a group, or of one key, on this server since it was started:
// GET /v1/usage?group=namespace/name or ?key=id.
func ReportHandler(groups Groups, reporter Reporter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := ask(r.URL, groups)
		switch {
		case errors.Is(err, errUnknown):
			httpapi.NewProblem(http.StatusNotFound, "usage_unknown", "No such group or key", err.Error()).Denial().Write(w)
			return
		case err != nil:
			httpapi.NewProblem(http.StatusBadRequest, "query_invalid", "Query not understood", err.Error()).Denial().Write(w)
			return
		}
		told, all := reporter.Report(func(id, group string) bool { return id == q.key || group == q.group }, q.limit)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(usageResponse{told, all}) // a client that has gone needs no answer
	})
}

func ask(target *url.URL, groups Groups) (usageRequest, error) {
	q := usageRequest{limit: defaultLimit}
	parameters, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return usageRequest{}, errors.New("the query is not properly encoded")
	}
	for name, values := range parameters {
		switch value := values[0]; {
		case name != "group" && name != "key" && name != "limit":
			return usageRequest{}, errors.New("the parameters are group, or key, and limit")
		case len(values) != 1 || value == "":
			return usageRequest{}, fmt.Errorf("%s: give it once", name)
		case name == "group":
			q.group = value
		case name == "key":
			q.key = value
		default:
			if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > maxLimit {
				return usageRequest{}, fmt.Errorf("limit: write a number from 1 to %d", maxLimit)
			}
		}
	}
	switch {
	case (q.group == "") == (q.key == ""):
		return usageRequest{}, errors.New("give either group, as namespace/name, or key, as the id of one")
	case q.group != "" && !groups.HasGroup(q.group):
		return usageRequest{}, fmt.Errorf("group: %w; write namespace/name", errUnknown)
	case q.key != "":
		if _, ok := groups.GroupOf(q.key); !ok {
			return usageRequest{}, fmt.Errorf("key: %w; write its id, the keyID in the status of an ApiKey", errUnknown)
		}
	}
	return q, nil
}
