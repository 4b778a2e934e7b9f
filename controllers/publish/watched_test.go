package publish_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/keyward-dev/keyward/controllers/publish"
)

// TestUnenforced: a change counts as pending while a server is waited for, and as missed once it is not, until that has acknowledged it.
func TestUnenforced(t *testing.T) {
	const grace = 5 * time.Second
	hub, clk := newHub(publish.Options{Grace: grace})
	expect := func(when string, pending, missed int) {
		t.Helper()
		if p, m := hub.Unenforced(); p != pending || m != missed {
			t.Errorf("%s: %d pending, %d missed; want %d and %d", when, p, m, pending, missed)
		}
	}
	a, b := connect(hub, "a"), connect(hub, "b")
	a.take(t, true)
	b.take(t, true)
	b.Close(false)
	expect("before", 0, 0)
	putKey(hub, keyRecord("k2", acme))
	putKey(hub, keyRecord("k3", acme))
	a.take(t, true)
	expect("a server is disconnected", 2, 0)
	clk.Step(grace)
	expect("it is no longer waited for", 0, 2)
	hub.DeleteKey("k3")
	hub.Forget(publish.KeyRef("k3"))
	a.take(t, true)
	expect("a key is gone", 0, 1)
	connect(hub, "b").take(t, true)
	expect("it is back", 0, 0)
}

func traced(options publish.Options) (*publish.Hub, *steppedClock, *tracetest.SpanRecorder) {
	hub, clk := newHub(options)
	recorder := tracetest.NewSpanRecorder()
	hub.TraceTo(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	return hub, clk, recorder
}

func attributesOf(span sdktrace.ReadOnlySpan) map[attribute.Key]string {
	values := map[attribute.Key]string{}
	for _, a := range span.Attributes() {
		values[a.Key] = a.Value.String()
	}
	return values
}

// TestChangeIsTraced: the span of a change begins when it is published, has the acknowledgements, and ends with the last.
func TestChangeIsTraced(t *testing.T) {
	hub, clk, recorder := traced(publish.Options{})
	a, b := connect(hub, "a"), connect(hub, "b")
	a.take(t, true)
	b.take(t, true)
	began := clk.Now()
	putKey(hub, keyRecord("k2", acme))
	clk.Step(10 * time.Millisecond)
	a.take(t, true)
	clk.Step(20 * time.Millisecond)
	if n := len(recorder.Ended()); n != 0 {
		t.Fatalf("%d spans ended before the last acknowledgement", n)
	}
	b.take(t, true)
	spans := recorder.Ended()
	if len(spans) != 1 {
		t.Fatalf("%d spans ended", len(spans))
	}
	span := spans[0]
	if span.Name() != "enforce ApiKey" || !span.StartTime().Equal(began) || span.EndTime().Sub(began) != 30*time.Millisecond {
		t.Errorf("%s from %v to %v", span.Name(), span.StartTime(), span.EndTime())
	}
	want := map[attribute.Key]string{
		"keyward.kind": "ApiKey", "keyward.group": acme, "k8s.namespace.name": "web", "keyward.name": "k2",
		"keyward.servers": "2", "keyward.acknowledged": "2",
	}
	got := attributesOf(span)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	var acknowledged []string
	for _, event := range span.Events() {
		acknowledged = append(acknowledged, event.Time.Sub(began).String()+" "+event.Attributes[0].Value.AsString())
	}
	if len(acknowledged) != 2 || acknowledged[0] != "10ms a" || acknowledged[1] != "30ms b" {
		t.Errorf("acknowledgements %v", acknowledged)
	}
}

// TestSupersededChangeIsLinked: a change that is followed by another before it is in force ends, and the next one names it.
func TestSupersededChangeIsLinked(t *testing.T) {
	hub, _, recorder := traced(publish.Options{})
	a := connect(hub, "a")
	a.take(t, true)
	key := keyRecord("k2", acme)
	putKey(hub, key)
	changed := keyRecord("k2", acme)
	changed.Projects = []string{"other"}
	putKey(hub, changed)
	a.take(t, true)
	spans := recorder.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans ended", len(spans))
	}
	if attributesOf(spans[0])["keyward.superseded"] != "true" || len(spans[0].Links()) != 0 {
		t.Errorf("the first: %v, links %v", spans[0].Attributes(), spans[0].Links())
	}
	links := spans[1].Links()
	if len(links) != 1 || links[0].SpanContext.TraceID() != spans[0].SpanContext().TraceID() {
		t.Errorf("the second has the links %v", links)
	}
}

// TestMissedChangeIsAnError: the span names the servers that were not waited for.
func TestMissedChangeIsAnError(t *testing.T) {
	const grace = 5 * time.Second
	hub, clk, recorder := traced(publish.Options{Grace: grace})
	a, b := connect(hub, "a"), connect(hub, "b")
	a.take(t, true)
	b.take(t, true)
	b.Close(false)
	putKey(hub, keyRecord("k2", acme))
	a.take(t, true)
	clk.Step(grace)
	spans := recorder.Ended()
	if len(spans) != 1 {
		t.Fatalf("%d spans ended", len(spans))
	}
	if got := attributesOf(spans[0]); spans[0].Status().Code != codes.Error || got["keyward.disconnected"] != `["b"]` {
		t.Errorf("%v, %v", spans[0].Status(), got)
	}
	// A server that is late makes no change again.
	connect(hub, "b").take(t, true)
	connect(hub, "c").take(t, true)
	enforcement(hub, keyRecord("k2", acme))
	if n := len(recorder.Started()); n != 1 {
		t.Errorf("%d spans began", n)
	}
}
