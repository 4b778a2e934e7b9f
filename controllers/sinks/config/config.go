// Package config reads the file that says which sinks the logs of Groups are sent to.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/keyward-dev/keyward/internal/configfile"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// The type of the file.
const (
	APIVersion = "config.keyward.dev/v1alpha1"
	Kind       = "SinksConfiguration"
)

// MaxSinks is how many sinks there may be. Each costs a position for each Group, and the memory of a batch.
const MaxSinks = 16

// Type is how events are sent.
type Type string

// The types of sinks.
const (
	Webhook     Type = "Webhook"     // an event in a request, signed as Standard Webhooks says
	CloudEvents Type = "CloudEvents" // the HTTP protocol binding of CloudEvents
	OTLP        Type = "OTLP"        // log records over OTLP/HTTP
	File        Type = "File"        // lines of JSON, appended to a file
	Stdout      Type = "Stdout"      // lines of JSON on the standard output
)

var types = []Type{Webhook, CloudEvents, OTLP, File, Stdout}

// OverHTTP reports whether events are sent to a URL.
func (t Type) OverHTTP() bool {
	return slices.Contains([]Type{Webhook, CloudEvents, OTLP, OpenMeter, Stripe, Lago}, t)
}

// Mode is the content mode of the HTTP protocol binding of CloudEvents.
type Mode string

// The content modes.
const (
	Batch  Mode = "Batch"  // a JSON array of events in a request
	Binary Mode = "Binary" // an event in a request, its attributes in headers
)

var modes = []Mode{Batch, Binary}

// Sink is where the events of some Groups are sent.
type Sink struct {
	Name string
	Type Type
	// URL is where events are sent over HTTP. It may contain a token, and is not logged.
	URL *url.URL
	// Mode is that of CloudEvents.
	Mode Mode
	// SecretFile has the secrets with which requests are signed, one in a line; HeadersFile has headers that are added to requests.
	// Both are read again for every request, so that a Secret can be rotated.
	SecretFile, HeadersFile string
	// SecretRef names what may be in place of SecretFile: an entry of a Secret in the manager's namespace.
	SecretRef SecretRef
	// Events are patterns of the types of events; all, if there is none.
	Events []string
	// Groups selects Groups by their labels.
	Groups labels.Selector
	// NotBefore is the time of the first event that is sent.
	NotBefore time.Time
	// MaxEvents and MaxBytes bound a request or a write; an event is sent at most MaxDelay after others that wait for more.
	MaxEvents int
	MaxBytes  int64
	MaxDelay  time.Duration
	// Timeout is how long a request may take.
	Timeout time.Duration
	// CAFile has the authorities of the server's certificate, ServerName the name in it. Each may be empty.
	CAFile, ServerName string
	// AllowAddresses are networks that would not be connected to otherwise.
	AllowAddresses []netip.Prefix
	// Concurrency is how many requests are made at a time, each with an event of another Group.
	Concurrency int
	// Path is the file. It is renamed to Path.1 before it has more than RotateBytes; RotateKeep files are kept beside it.
	Path        string
	RotateBytes int64
	RotateKeep  int
	// Values and MeterPrefix are for billing engines: which value they are sent, and how the names begin that meters have there.
	Values      Values
	MeterPrefix string
	// Patience is for how long events are sent again to a sink that takes none, RefusalPatience for how long one that it refuses; with 0
	// as long as events of logs are.
	Patience, RefusalPatience time.Duration
}

// SingleEvents reports whether a request has exactly one event.
func (s *Sink) SingleEvents() bool { return s.Type == Webhook || s.Type == Stripe || s.Mode == Binary }

// Wants reports whether events of the type are sent to the sink.
func (s *Sink) Wants(eventType string) bool {
	if len(s.Events) == 0 {
		return true
	}
	for _, pattern := range s.Events {
		if groupevent.Matches(pattern, eventType) {
			return true
		}
	}
	return false
}

// Configuration is what is in the file.
type Configuration struct {
	Sinks []*Sink
}

// Load reads the file. An error is one line that names the file, what is wrong where, and how to fix it.
func Load(path string) (*Configuration, error) { return configfile.Load(path, Parse) }

// Parse reads the text of a file, strictly, and reports all that is wrong.
func Parse(data []byte) (*Configuration, error) {
	top, err := configfile.Parse(data)
	if err != nil {
		return nil, err
	}
	var f file
	problems := configfile.Decode(&f, top, nil, hints)
	if len(problems) == 0 && (f.APIVersion != APIVersion || f.Kind != Kind) {
		return nil, fmt.Errorf("apiVersion and kind: %q and %q are not known; write apiVersion: %s and kind: %s",
			f.APIVersion, f.Kind, APIVersion, Kind)
	}
	sinks, more := f.sinks()
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, errors.New(configfile.OneLine(problems.ToAggregate()))
	}
	return &Configuration{Sinks: sinks}, nil
}
