// Package usageapi accepts usage that no integration of this server sees, POST /v1/usage with a JSON list of what to add,
// and reports usage: GET /v1/usage.
package usageapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/httpapi"
)

const maxBody = 1 << 20

// Groups are those that are known here.
type Groups interface {
	// HasGroup reports whether the group namespace/name is known.
	HasGroup(identity string) bool
	// GroupOf returns the group of a key, namespace/name, by the key's id.
	GroupOf(keyID string) (group string, ok bool)
}

// Counter counts requests that were allowed elsewhere.
type Counter interface {
	// Count adds to the counters of groups. If one of them would exceed what can be counted in a month, it adds nothing and
	// returns that group.
	Count(amounts []quota.Amount, now time.Time) (full string, ok bool)
}

// KeyCounter counts them by key.
type KeyCounter interface {
	Count(keyID, group string, requests uint64, now time.Time)
}

// delta is what an entry adds.
type delta struct {
	keyID           string // empty if no key is given
	group           string
	requests, bytes uint64
}

// Disabled answers that usage is neither accepted nor reported, because there is no token that could be presented.
func Disabled(w http.ResponseWriter, _ *http.Request) {
	httpapi.NewProblem(http.StatusNotFound, "usage_off", "Usage is neither accepted nor reported",
		"Start the validator with --admin-token-file to report usage here, and to read it.").Denial().Write(w)
}

// Handler accepts usage: all of a request or, if anything in it is wrong, nothing.
func Handler(groups Groups, counter Counter, keys KeyCounter, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deltas, err := read(http.MaxBytesReader(w, r.Body, maxBody), groups)
		if err != nil {
			status := http.StatusBadRequest
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				status = http.StatusRequestEntityTooLarge
			}
			httpapi.NewProblem(status, "usage_invalid", "Usage not understood; none of it is counted", err.Error()).Denial().Write(w)
			return
		}
		if full, ok := counter.Count(sums(deltas), now()); !ok {
			httpapi.NewProblem(http.StatusConflict, "usage_overflow", "More than can be counted; none of it is counted",
				"The month of "+full+" would exceed what can be counted: find out which reporter sends far too much.").Denial().Write(w)
			return
		}
		for _, d := range deltas {
			if d.keyID != "" && d.requests > 0 {
				keys.Count(d.keyID, d.group, d.requests, now())
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// sums are what a list adds to each group, in the order of the list.
func sums(deltas []delta) []quota.Amount {
	var sums []quota.Amount
	at := map[string]int{}
	for _, d := range deltas {
		i, ok := at[d.group]
		if !ok {
			i = len(sums)
			at[d.group] = i
			sums = append(sums, quota.Amount{Group: d.group})
		}
		sums[i].Requests += d.requests // at most MaxUsageEntries times MaxUsageAmount
		sums[i].Bytes += d.bytes
	}
	return sums
}

func read(body io.Reader, groups Groups) ([]delta, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("the body cannot be read: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var entries []adminv1.UsageEntry
	if err := decoder.Decode(&entries); err != nil {
		return nil, fmt.Errorf(`write a JSON list such as [{"group": "tenants/acme", "requests": 1, "bytes": 4096}]: %w`, err)
	}
	if entries == nil {
		return nil, errors.New("null is not a list")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the list")
	}
	if len(entries) > adminv1.MaxUsageEntries {
		return nil, fmt.Errorf("the list has more than %d entries: send several lists", adminv1.MaxUsageEntries)
	}
	deltas := make([]delta, 0, len(entries))
	for i := range entries {
		d, field, err := newDelta(&entries[i], groups)
		if err != nil {
			return nil, fmt.Errorf("[%d].%s: %w", i, field, err)
		}
		deltas = append(deltas, d)
	}
	return deltas, nil
}

// newDelta checks one entry; the field is that of the error.
func newDelta(e *adminv1.UsageEntry, groups Groups) (d delta, field string, err error) {
	switch {
	case e.Group != "" && e.Key != "":
		return d, "key", errors.New("give either group or key")
	case e.Group != "":
		if !groups.HasGroup(e.Group) {
			return d, "group", errors.New("no such group is known here; write namespace/name")
		}
		d.group = e.Group
	case e.Key != "":
		var ok bool
		if d.group, ok = groups.GroupOf(e.Key); !ok {
			return d, "key", errors.New("no key with such an id is known here")
		}
		d.keyID = e.Key
	default:
		return d, "group", errors.New("it is missing; write namespace/name, or give key")
	}
	if d.requests, err = amount(e.Requests); err != nil {
		return d, "requests", err
	}
	if d.bytes, err = amount(e.Bytes); err != nil {
		return d, "bytes", err
	}
	return d, "", nil
}

func amount(number json.Number) (uint64, error) {
	if number == "" {
		return 0, nil
	}
	n, err := number.Int64()
	if err != nil || n < 0 || n > adminv1.MaxUsageAmount {
		return 0, fmt.Errorf("write a whole number from 0 to %d", int64(adminv1.MaxUsageAmount))
	}
	return uint64(n), nil
}
