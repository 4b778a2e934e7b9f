// Package sinks sends the log of each Group to others: at least once, and for each Group and sink in order. Events are pulled from
// their Source when a sink can take them, so that a sink that is slow or away costs no memory and delays nobody. What a sink has
// is a position in each log, which is persisted.
package sinks

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// Source is where the logs of Groups are.
type Source interface {
	// Logs returns the logs that there are. An error is not the same as none.
	Logs(ctx context.Context) ([]Log, error)
	// Read returns at most limit records of a log that follow a sequence, in order; none if there are no more yet, or the log has gone.
	Read(ctx context.Context, log string, after uint64, limit int) ([]Record, error)
	// Changed returns a channel from which something can be received after a log was appended to. What is signalled while nobody
	// receives may be merged into one. A sink looks periodically in any case.
	Changed(ctx context.Context) <-chan struct{}
}

// Log is the log of a Group.
type Log struct {
	// Key names the log for ever: a Group that is created again has another one.
	Key string
	// Labels are those of the Group.
	Labels labels.Set
	// Orphaned reports that the Group does not exist any more, so that its labels may not be known. Sinks that have something of the log get
	// the rest.
	Orphaned bool
	// First and Last are the sequences of the first record that is left and of the last one; Last is 0 if there was none yet.
	First, Last uint64
}

// Record is an event of a log.
type Record struct {
	// Log is the key of its log.
	Log string
	// Sequence is its place in the log.
	Sequence uint64
	// ID is different for each event of all logs, and the same whenever the event is sent.
	ID string
	// Type is that of the event, such as dev.keyward.key.rotated.v1.
	Type string
	// Time is when it happened.
	Time time.Time
	// Body is the event in the JSON format of CloudEvents, the same bytes whenever it is sent.
	Body []byte
}

// Sender sends records to one sink.
type Sender interface {
	// Send returns after the records were taken, or a *Failure. Taken records may have been rejected in spite of that, by receivers
	// that say only how many.
	Send(ctx context.Context, records []Record) (rejected int, err error)
	// Close ends idle connections and closes files.
	Close()
}

// Checker is a Sender that can be wrong before there is anything to send, in what it needs of the cluster.
type Checker interface {
	// Check returns a *Failure if nothing could be sent.
	Check(ctx context.Context) error
}

// Reason is why events could not be sent. Metrics have it as a label.
type Reason string

// The reasons.
const (
	ReasonAddress    Reason = "address"    // the address is not allowed
	ReasonTLS        Reason = "tls"        // no certificate that is trusted
	ReasonTimeout    Reason = "timeout"    // no response in time
	ReasonConnection Reason = "connection" // anything else between here and there
	ReasonRedirect   Reason = "redirect"   // redirects are not followed
	ReasonStatus     Reason = "status"     // the receiver cannot take events
	ReasonRefused    Reason = "refused"    // the receiver can, but not these
	ReasonFile       Reason = "file"       // a file cannot be read or written
	ReasonSecret     Reason = "secret"     // a Secret cannot be read, or has none
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonAddress, ReasonTLS, ReasonTimeout, ReasonConnection, ReasonRedirect, ReasonStatus, ReasonRefused, ReasonFile,
		ReasonSecret,
	}
}

// Failure is why events could not be sent. Its text has no secret, and not the URL, which may contain one.
type Failure struct {
	Reason Reason
	// RetryAfter is how long the receiver wants to be left alone.
	RetryAfter time.Duration
	Err        error
}

func (f *Failure) Error() string { return f.Err.Error() }

func (f *Failure) Unwrap() error { return f.Err }

// Positions has for each log the sequence up to which a sink is done with it.
type Positions map[string]uint64

// Store persists positions. Positions only grow: those that are persisted and those that are saved are merged by the greater one, so
// that a leader that was replaced takes nothing back.
type Store interface {
	// Load returns the positions of all sinks.
	Load(ctx context.Context) (map[string]Positions, error)
	// Save persists positions of sinks, and forgets those of logs that have gone and of sinks that are no longer configured.
	// It returns what was not persisted because of an error.
	Save(ctx context.Context, moved map[string]Positions, exists func(sink, log string) bool) (left map[string]Positions, err error)
}
