// Package billing writes what was used of a Group in a period as rows for an invoice. It is pure, and knows no prices.
package billing

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// Meters. No request and no byte counts for two of them.
const (
	Requests            = "requests"             // within the quota
	OverageRequests     = "overage_requests"     // beyond it, where that is metered
	UnconfirmedRequests = "unconfirmed_requests" // on top, while the manager could not be reached
	Bytes               = "bytes"
	OverageBytes        = "overage_bytes"
)

// State says whether the numbers of a period can still change.
type State string

// States of a period.
const (
	// Open is a period that is not over.
	Open State = "open"
	// Closed is one that is over. A validation server that was disconnected may still report what it counted in it.
	Closed State = "closed"
	// Final is one that nothing is added to any more: ledgers are kept for one period after it.
	Final State = "final"
)

// Subject is who is billed.
type Subject struct {
	Group string // namespace/name
	Name  string // for people
	UID   string // of the Group: one that is created again is another
	Tier  string
}

// Row is what was used of one meter.
type Row struct {
	// ID is the same for each export of a period of a Group, so that a row which is imported again replaces itself.
	ID       string
	Meter    string
	Unit     string
	Quantity int64
}

// Statement is what was used in a period.
type Statement struct {
	Subject
	Period     string
	Begin, End time.Time
	State      State
	Rows       []Row
}

// Of returns the statement of a period, as of an instant.
func Of(subject Subject, period *usagequery.Period, now time.Time) Statement {
	s := Statement{Subject: subject, Period: period.Name, Begin: period.Begin, End: period.End, State: Final}
	switch {
	case now.Before(period.End):
		s.State = Open
	case now.Before(period.End.Add(quotaledger.MaxPeriod + slack)):
		s.State = Closed
	}
	used := period.Amounts()
	overage := min(used.OverageRequests, used.Requests)
	unconfirmed := min(used.UnconfirmedRequests, used.Requests-overage)
	overageBytes := min(used.OverageBytes, used.Bytes)
	for _, row := range []Row{
		{Meter: Requests, Unit: "Requests", Quantity: used.Requests - overage - unconfirmed},
		{Meter: OverageRequests, Unit: "Requests", Quantity: overage},
		{Meter: UnconfirmedRequests, Unit: "Requests", Quantity: unconfirmed},
		{Meter: Bytes, Unit: "B", Quantity: used.Bytes - overageBytes},
		{Meter: OverageBytes, Unit: "B", Quantity: overageBytes},
	} {
		row.ID = id(subject.UID, period, row.Meter)
		s.Rows = append(s.Rows, row)
	}
	return s
}

// slack is how much later than the end of the next period a report may still be received.
const slack = 2 * 24 * time.Hour

// id identifies the row of a meter. It is made of what never changes: 32 hexadecimal digits.
func id(uid string, period *usagequery.Period, meter string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"keyward billing 1", uid, period.Begin.UTC().Format(time.RFC3339), meter}, "\x00")))
	return hex.EncodeToString(sum[:16])
}
