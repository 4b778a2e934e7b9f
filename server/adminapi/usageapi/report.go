package usageapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const defaultLimit = 100

// Reporter knows the use of keys.
type Reporter interface {
	// Report returns the use of the keys that the function selects, those with the most requests first, up to a limit, and
	// how many there are in all.
	Report(selected func(id, group string) bool, limit int) (reported []adminv1.KeyUsage, total int)
}

// errUnknown is that there is no such group or key here.
var errUnknown = errors.New("it is not known here")

// reportQuery selects a group or a key.
type reportQuery struct {
	group, key string
	limit      int
}

// ReportHandler reports the use of the keys of a group, or of one key, on this server since it was started:
// GET /v1/usage?group=namespace/name or ?key=id.
func ReportHandler(groups Groups, reporter Reporter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := readQuery(r.URL, groups)
		switch {
		case errors.Is(err, errUnknown):
			httpapi.NewProblem(http.StatusNotFound, "usage_unknown", "No such group or key", err.Error()).Denial().Write(w)
			return
		case err != nil:
			httpapi.NewProblem(http.StatusBadRequest, "query_invalid", "Query not understood", err.Error()).Denial().Write(w)
			return
		}
		keys, total := reporter.Report(func(id, group string) bool { return id == q.key || group == q.group }, q.limit)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(adminv1.KeyUsages{Keys: keys, Total: total}) // a client that has disconnected needs no response
	})
}

func readQuery(target *url.URL, groups Groups) (reportQuery, error) {
	q := reportQuery{limit: defaultLimit}
	parameters, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return reportQuery{}, errors.New("the query is not properly encoded")
	}
	for name, values := range parameters {
		switch value := values[0]; {
		case name != adminv1.UsageGroup && name != adminv1.UsageKey && name != adminv1.UsageLimit:
			return reportQuery{}, errors.New("the parameters are group, or key, and limit")
		case len(values) != 1 || value == "":
			return reportQuery{}, fmt.Errorf("%s: give it once", name)
		case name == adminv1.UsageGroup:
			q.group = value
		case name == adminv1.UsageKey:
			q.key = value
		default:
			if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > adminv1.MaxUsages {
				return reportQuery{}, fmt.Errorf("limit: write a number from 1 to %d", adminv1.MaxUsages)
			}
		}
	}
	switch {
	case (q.group == "") == (q.key == ""):
		return reportQuery{}, errors.New("give either group, as namespace/name, or key, as the id of one")
	case q.group != "" && !groups.HasGroup(q.group):
		return reportQuery{}, fmt.Errorf("group: %w; write namespace/name", errUnknown)
	case q.key != "":
		if _, ok := groups.GroupOf(q.key); !ok {
			return reportQuery{}, fmt.Errorf("key: %w; write its id, the keyID in the status of an ApiKey", errUnknown)
		}
	}
	return q, nil
}
