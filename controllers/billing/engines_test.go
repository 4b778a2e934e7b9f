package billing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

var begin = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func group() *v1alpha1.Group {
	return &v1alpha1.Group{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme", UID: "6c6b1a5e-1111-4222-8333-944455556666"},
		Spec:       v1alpha1.GroupSpec{Billing: v1alpha1.BillingReference{Customer: "cus_1", Subscription: "sub_1"}},
	}
}

// ledger returns what is used after an hour. Overage falls from hour to hour.
func ledger(hour int) *v1alpha1.GroupUsage {
	n := int64(hour + 1)
	return &v1alpha1.GroupUsage{Status: v1alpha1.GroupUsageStatus{
		GroupUID: group().UID,
		Months: []v1alpha1.MonthUsage{{Month: "2026-11", UsageCounts: v1alpha1.UsageCounts{
			Requests: ptr.To(n*1000 + n*n), Bytes: ptr.To(n * 12345), UnconfirmedRequests: ptr.To(n * 3), OverageRequests: ptr.To(500 - n),
		}}},
	}}
}

// oneGroup is a cluster with one Group, or without one.
type oneGroup struct {
	mu      sync.Mutex
	group   *v1alpha1.Group
	usage   *v1alpha1.GroupUsage
	deleted bool
	held    bool
}

func (o *oneGroup) List(context.Context) ([]*v1alpha1.Group, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.deleted {
		return nil, nil
	}
	return []*v1alpha1.Group{o.group}, nil
}

func (o *oneGroup) Exists(context.Context, *v1alpha1.Group) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.deleted, nil
}

func (o *oneGroup) Usage(context.Context, *v1alpha1.Group) (*v1alpha1.GroupUsage, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.usage, nil
}

func (o *oneGroup) Hold(_ context.Context, _ *v1alpha1.Group, hold bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = hold
	return nil
}

func (o *oneGroup) Held(context.Context) ([]*v1alpha1.Group, error) {
	if o.isHeld() {
		return []*v1alpha1.Group{o.group}, nil
	}
	return nil, nil
}

func (o *oneGroup) isHeld() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held
}

// engine is a receiver that deduplicates as an engine says, and adds up what is left.
type engine struct {
	mu          sync.Mutex
	server      *httptest.Server
	seen        map[string]string // what was sent by its key
	values      map[string]int64
	latest      map[string]time.Time
	repeated    int
	unreachable bool
	problem     string
}

// take takes a value of a meter once.
func (e *engine) take(key, text, meter string, value int64, at time.Time) (isNew bool) {
	if was, has := e.seen[key]; has {
		if e.repeated++; was != text {
			e.problem = fmt.Sprintf("%s was %s and is %s", key, was, text)
		}
		return false
	}
	e.seen[key] = text
	if !strings.HasPrefix(meter, "overage") {
		e.values[meter] += value
	} else if at.After(e.latest[meter]) {
		e.values[meter], e.latest[meter] = value, at
	}
	return true
}

type engines struct {
	t   *testing.T
	all map[config.Type]*engine
}

func newEngines(t *testing.T) *engines {
	e := &engines{t: t, all: map[config.Type]*engine{}}
	for kind, handle := range map[config.Type]func(*engine, *http.Request, []byte) (int, any){
		config.CloudEvents: cloudEvents, config.OpenMeter: openMeter, config.Stripe: stripe, config.Lago: lago,
	} {
		one := &engine{seen: map[string]string{}, values: map[string]int64{}, latest: map[string]time.Time{}}
		one.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			one.mu.Lock()
			defer one.mu.Unlock()
			status, response := http.StatusServiceUnavailable, any(nil)
			if err == nil && !one.unreachable {
				status, response = handle(one, r, body)
			}
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(response)
		}))
		t.Cleanup(one.server.Close)
		e.all[kind] = one
	}
	return e
}

func (e *engines) urls() map[config.Type]string {
	urls := map[config.Type]string{}
	for kind, one := range e.all {
		urls[kind] = one.server.URL
	}
	return urls
}

func (e *engines) totals() map[config.Type]map[string]int64 {
	all := map[config.Type]map[string]int64{}
	for kind, one := range e.all {
		one.mu.Lock()
		if one.problem != "" {
			e.t.Errorf("%s: %s", kind, one.problem)
		}
		all[kind] = one.values
		one.mu.Unlock()
	}
	return all
}

func (e *engines) repeated() map[config.Type]int {
	all := map[config.Type]int{}
	for kind, one := range e.all {
		one.mu.Lock()
		all[kind] = one.repeated
		one.mu.Unlock()
	}
	return all
}

// cloudEvents and openMeter drop events whose source and id they have.
func cloudEvents(e *engine, r *http.Request, body []byte) (int, any) {
	var events []struct {
		ID, Source, Type, Subject string
		Time                      time.Time
		Data                      struct {
			Meter string
			Value int64
		}
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/cloudevents-batch+json") || json.Unmarshal(body, &events) != nil {
		return http.StatusBadRequest, nil
	}
	for _, event := range events {
		if event.Subject != "cus_1" || event.Type != "dev.keyward.billing."+event.Data.Meter+".v1" {
			return http.StatusBadRequest, nil
		}
		e.take(event.Source+" "+event.ID, fmt.Sprint(event), event.Data.Meter, event.Data.Value, event.Time)
	}
	return http.StatusNoContent, nil
}

func openMeter(e *engine, r *http.Request, body []byte) (int, any) {
	if r.Header.Get("Content-Type") != "application/cloudevents-batch+json" {
		return http.StatusBadRequest, nil
	}
	return cloudEvents(e, r, body)
}

// stripe refuses an identifier that it has.
func stripe(e *engine, r *http.Request, body []byte) (int, any) {
	form, err := url.ParseQuery(string(body))
	id := form.Get("identifier")
	at, atErr := strconv.ParseInt(form.Get("timestamp"), 10, 64)
	value, valueErr := strconv.ParseInt(form.Get("payload[value]"), 10, 64)
	meter, named := strings.CutPrefix(form.Get("event_name"), "keyward_")
	if err != nil || atErr != nil || valueErr != nil || id == "" || len(id) > 100 || !named || form.Get("payload[stripe_customer_id]") != "cus_1" ||
		r.Header.Get("Idempotency-Key") != id {
		return http.StatusBadRequest, nil
	}
	if !e.take(id, form.Encode(), meter, value, time.Unix(at, 0)) {
		return http.StatusBadRequest, map[string]any{"error": map[string]any{"message": "An event already exists with identifier " + id}}
	}
	return http.StatusOK, nil
}

// lago takes a batch as a whole or not at all, and refuses a transaction of a subscription that it has.
func lago(e *engine, _ *http.Request, body []byte) (int, any) {
	var batch struct {
		Events []struct {
			TransactionID          string `json:"transaction_id"`
			ExternalSubscriptionID string `json:"external_subscription_id"`
			Code, Timestamp        string
			Properties             struct{ Value string }
		}
	}
	if json.Unmarshal(body, &batch) != nil || len(batch.Events) > 100 {
		return http.StatusBadRequest, nil
	}
	details := map[string]any{}
	for i, event := range batch.Events {
		if was, has := e.seen[event.ExternalSubscriptionID+" "+event.TransactionID]; has {
			if e.repeated++; was != fmt.Sprint(event) {
				e.problem = was + " is now " + fmt.Sprint(event)
			}
			details[strconv.Itoa(i)] = map[string]any{"transaction_id": []string{"value_already_exist"}}
		}
	}
	if len(details) > 0 {
		return http.StatusUnprocessableEntity, map[string]any{"status": 422, "code": "validation_errors", "error_details": details}
	}
	for _, event := range batch.Events {
		value, err := strconv.ParseInt(event.Properties.Value, 10, 64)
		at, atErr := strconv.ParseInt(event.Timestamp, 10, 64)
		if err != nil || atErr != nil || event.ExternalSubscriptionID != "sub_1" {
			return http.StatusBadRequest, nil
		}
		e.take(event.ExternalSubscriptionID+" "+event.TransactionID, fmt.Sprint(event), strings.TrimPrefix(event.Code, "keyward_"), value,
			time.Unix(at, 0))
	}
	return http.StatusOK, nil
}
