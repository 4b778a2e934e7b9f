package window

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/billing"
)

// Meters of all that was used. Those of overage and of unconfirmed requests have the names that they have in an exported statement.
const (
	TotalRequests = "total_requests"
	TotalBytes    = "total_bytes"
)

// Aggregation is how a receiver gets the use of a period from events.
type Aggregation string

// Aggregations.
const (
	Sum    Aggregation = "sum"    // the values add up
	Latest Aggregation = "latest" // the latest value counts: it can be less than the one before
)

// meters in the order of their events. It is not changed: it is persisted in numbers.
var meters = []struct {
	name, unit  string
	aggregation Aggregation
	of          func(*v1alpha1.BillingAmounts) int64
}{
	{TotalRequests, "Requests", Sum, func(a *v1alpha1.BillingAmounts) int64 { return a.TotalRequests }},
	{billing.OverageRequests, "Requests", Latest, func(a *v1alpha1.BillingAmounts) int64 { return a.OverageRequests }},
	{billing.UnconfirmedRequests, "Requests", Sum, func(a *v1alpha1.BillingAmounts) int64 { return a.UnconfirmedRequests }},
	{TotalBytes, "B", Sum, func(a *v1alpha1.BillingAmounts) int64 { return a.TotalBytes }},
	{billing.OverageBytes, "B", Latest, func(a *v1alpha1.BillingAmounts) int64 { return a.OverageBytes }},
}

// Meters returns the names of all meters.
func Meters() []string {
	names := make([]string, 0, len(meters))
	for i := range meters {
		names = append(names, meters[i].name)
	}
	return names
}

// TypeOf returns the type of the events of a meter.
func TypeOf(meter string) string { return typePrefix + meter + typeSuffix }

const (
	typePrefix = "dev.keyward.billing."
	typeSuffix = ".v1"
)

// Event is what was used of a meter in a window, as CloudEvents encode it.
type Event struct {
	SpecVersion     string      `json:"specversion"`
	ID              string      `json:"id"`
	Source          string      `json:"source"`
	Type            string      `json:"type"`
	Subject         string      `json:"subject"`
	Time            metav1.Time `json:"time"`
	DataContentType string      `json:"datacontenttype"`
	Data            Data        `json:"data"`
}

// Data is the data of an event.
type Data struct {
	Group        string      `json:"group"`
	GroupUID     string      `json:"groupUID"`
	Customer     string      `json:"customer,omitempty"`
	Subscription string      `json:"subscription,omitempty"`
	Period       string      `json:"period"`
	WindowStart  metav1.Time `json:"windowStart"`
	WindowEnd    metav1.Time `json:"windowEnd"`
	Meter        string      `json:"meter"`
	Unit         string      `json:"unit"`
	Aggregation  Aggregation `json:"aggregation"`
	// Value is Delta where values add up, and otherwise Cumulative.
	Value      int64 `json:"value"`
	Cumulative int64 `json:"cumulative"`
	Delta      int64 `json:"delta"`
}

// Events returns the events of a window: one for each meter that has changed. They are the same, by id, instant and value, whenever it is
// called.
func Events(o *v1alpha1.BillingOutboxSpec, w *v1alpha1.BillingWindow) []Event {
	var all []Event
	for i := range meters {
		m := &meters[i]
		cumulative, delta := m.of(&w.Cumulative), m.of(&w.Delta)
		if delta == 0 {
			continue
		}
		value := delta
		if m.aggregation == Latest {
			value = cumulative
		}
		subject := w.Billing.Customer
		if subject == "" {
			subject = w.Billing.Subscription
		}
		all = append(all, Event{
			SpecVersion: "1.0", ID: id(o, w, m.name), Source: "/keyward/billing/" + string(o.GroupUID), Type: TypeOf(m.name), Subject: subject,
			Time: utc(w.Instant), DataContentType: "application/json",
			Data: Data{
				Group: o.Group, GroupUID: string(o.GroupUID), Customer: w.Billing.Customer, Subscription: w.Billing.Subscription,
				Period: w.Period, WindowStart: utc(w.Start), WindowEnd: utc(w.End), Meter: m.name, Unit: m.unit, Aggregation: m.aggregation,
				Value: value, Cumulative: cumulative, Delta: delta,
			},
		})
	}
	return all
}

// id identifies the event of a meter: at most 100 characters, as Stripe requires.
func id(o *v1alpha1.BillingOutboxSpec, w *v1alpha1.BillingWindow, meter string) string {
	return strings.Join([]string{string(o.GroupUID), w.Period, w.Start.UTC().Format(time.RFC3339), meter}, "/")
}

func utc(at metav1.Time) metav1.Time { return metav1.NewTime(at.UTC()) }

// Encode returns the event in the JSON format of CloudEvents: the same bytes whenever it is called.
func (e *Event) Encode() ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %w", err)
	}
	return text, nil
}

// Decode reads an event that Encode has written.
func Decode(text []byte) (*Event, error) {
	e := &Event{}
	if err := json.Unmarshal(text, e); err != nil {
		return nil, fmt.Errorf("decoding an event: %w", err)
	}
	return e, nil
}
