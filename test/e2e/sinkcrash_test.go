package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/failpoint"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// roundsEnvironment is how many managers TestKilledWhileSendingALog kills; 30 by default.
const roundsEnvironment = "KEYWARD_CRASH_ROUNDS"

// TestKilledWhileSendingALog kills managers at each step from the evidence of a transition to the position of a sink, one after the
// other. A receiver that drops what it has, and takes nothing in some of the rounds, ends with each transition once, in the order of the log.
func TestKilledWhileSendingALog(t *testing.T) {
	w := newWorld(t)
	points := slices.Concat(failpoint.Log, failpoint.Send)
	rounds := 30
	if text := os.Getenv(roundsEnvironment); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	receiver := newSinkReceiver(t, w.namespace)
	flags := []string{"--sinks-file=" + w.writeWebSink(receiver.URL)}
	first := w.lead(managerSetup{flags: flags})
	w.createGroup()
	w.mint("keeper")
	first.stop(patience)

	suspended, keys := int64(0), []string{"keeper"}
	for round := range rounds {
		point := points[round%len(points)]
		// What the receiver does not take is sent later, by another manager.
		receiver.refuse(round%4 == 1 && slices.Contains(failpoint.Log, point))
		armed := w.path(fmt.Sprintf("armed-%s-%d", w.namespace, round))
		m := w.startManager(managerSetup{
			binary: bin("e2e", "keyward-manager-failpoints"), flags: flags, level: "info", startupGrace: quick,
			environment: []string{"KEYWARD_FAILPOINT=" + point, "KEYWARD_FAILPOINT_ARMED=" + armed},
		})
		w.awaitReady(m)
		w.awaitLeader()
		change := func() error {
			// A key that is resumed before any leader has seen that it was suspended has changed nothing: that is no transition.
			if err := hasEach(w.wholeLog(), nil, suspended); err != nil {
				return err
			}
			key := &v1alpha1.ApiKey{}
			if err := w.admin.Get(w.ctx, client.ObjectKeyFromObject(w.newKey("keeper")), key); err != nil {
				return err
			}
			key.Spec.Suspended = ptr.To(suspended%2 == 0)
			return w.admin.Update(w.ctx, key)
		}
		if round%2 == 0 {
			change = func() error { return w.admin.Create(w.ctx, w.newKey(fmt.Sprintf("round-%d", round))) }
		}
		if round%3 > 0 { // or else it is killed by what comes next
			arm(t, armed)
		}
		eventually(t, "the change", patience, func() error {
			err := change()
			if err != nil && m.hasEnded() {
				return nil
			}
			if err == nil && round%2 == 0 {
				keys = append(keys, fmt.Sprintf("round-%d", round))
			} else if err == nil {
				suspended++
			}
			return err
		})
		arm(t, armed)
		begin := time.Now()
		eventually(t, "the manager to kill itself "+point, patience, func() error {
			if m.hasEnded() {
				return nil
			}
			err := errors.New("it still runs")
			if time.Since(begin) > 5*time.Second { // the change was through before the point was armed
				err = errors.Join(err, w.touch(fmt.Sprintf("again-%d", round), &keys))
			}
			return err
		})
		if !m.killedItself() {
			t.Fatal(m.complaint())
		}
	}
	// A manager of the rounds may have been killed before it sent anything. What this one sends is not taken, and another one sends it.
	receiver.refuse(true)
	last := w.lead(managerSetup{flags: flags})
	eventually(t, "another key", patience, func() error { return w.touch("refused", &keys) })
	eventually(t, "the receiver to refuse a request", patience, func() error {
		if receiver.hasRefused() == 0 {
			return errors.New("it has refused none")
		}
		return nil
	})
	last.stop(patience)
	receiver.refuse(false)
	w.lead(managerSetup{flags: flags})
	eventually(t, "the receiver to have the whole log", 2*patience, func() error {
		log := w.wholeLog()
		return errors.Join(hasEach(log, keys, suspended), receiver.compare(log))
	})
	t.Logf("%d managers were killed; %d events, %d repeated, %d requests refused", rounds, len(w.wholeLog()), receiver.repeated, receiver.refused)
	if receiver.repeated == 0 || receiver.refused == 0 {
		t.Error("no event was sent again: nothing was killed where it matters")
	}
}

// hasEach reports which transitions of the keys a log lacks, or has more than once.
func hasEach(log []groupevent.Event, keys []string, suspended int64) error {
	has := map[string]int{}
	for _, event := range log {
		has[event.Type.Short()+" "+event.Subject.Name]++
	}
	for _, key := range keys {
		// A text that is lost with its manager is minted again, as another version.
		if has["key.created "+key] != 1 || has["key.minted "+key] < 1 || has["key.delivered "+key] != 1 {
			return fmt.Errorf("of %s, the log has %d creations, %d mintings and %d deliveries", key,
				has["key.created "+key], has["key.minted "+key], has["key.delivered "+key])
		}
	}
	if got := has["key.suspended keeper"] + has["key.resumed keeper"]; int64(got) != suspended {
		return fmt.Errorf("the log has %d of %d suspensions and resumptions", got, suspended)
	}
	return nil
}

func arm(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// touch creates a key, once.
func (w *world) touch(name string, keys *[]string) error {
	if slices.Contains(*keys, name) {
		return nil
	}
	err := w.admin.Create(w.ctx, w.newKey(name))
	if err == nil {
		*keys = append(*keys, name)
	}
	return err
}

// writeWebSink writes the file of a sink that sends to a URL.
func (w *world) writeWebSink(to string) string {
	w.t.Helper()
	file := w.path("sinks-" + w.namespace + ".yaml")
	text := fmt.Sprintf("apiVersion: config.keyward.dev/v1alpha1\nkind: SinksConfiguration\nsinks:\n"+
		"- {name: %s, type: CloudEvents, url: %q, allowAddresses: [127.0.0.0/8], batch: {maxEvents: 5, maxDelay: 100ms}}\n", w.namespace, to)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// wholeLog returns the log of the Group, and holds it to its chain.
func (w *world) wholeLog() (events []groupevent.Event) {
	w.t.Helper()
	var segments v1alpha1.GroupLogList
	if err := w.admin.List(w.ctx, &segments, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	verifier := groupevent.NewVerifier("", groupevent.Head{})
	for _, segment := range segments.Items {
		for line := range strings.Lines(segment.Spec.Events) {
			event, divergence := verifier.Add([]byte(strings.TrimSuffix(line, "\n")))
			if divergence != nil {
				w.t.Fatal(divergence)
			}
			events = append(events, event)
		}
	}
	return events
}

// sinkReceiver takes the events of a namespace, and drops what it has by their ids.
type sinkReceiver struct {
	*httptest.Server
	namespace string

	mu                sync.Mutex
	ids               []string
	has               map[string]bool
	refuses           bool
	repeated, refused int
}

func newSinkReceiver(t *testing.T, namespace string) *sinkReceiver {
	r := &sinkReceiver{namespace: namespace, has: map[string]bool{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *sinkReceiver) hasRefused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

func (r *sinkReceiver) refuse(refuses bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = refuses
}

func (r *sinkReceiver) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var events []struct{ ID, Source string }
	if err != nil || json.Unmarshal(body, &events) != nil {
		response.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses {
		r.refused++
		response.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, event := range events {
		switch {
		case !strings.HasPrefix(event.Source, "/keyward/namespaces/"+r.namespace+"/"):
		case r.has[event.ID]:
			r.repeated++
		default:
			r.has[event.ID] = true
			r.ids = append(r.ids, event.ID)
		}
	}
}

// compare reports what distinguishes what was received from a log.
func (r *sinkReceiver) compare(log []groupevent.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids, seen := []string{}, map[string]bool{}
	for i := range log {
		if seen[log[i].ID] {
			return fmt.Errorf("%s is in the log twice", log[i].ID)
		}
		seen[log[i].ID] = true
		ids = append(ids, log[i].ID)
	}
	if !slices.Equal(ids, r.ids) {
		return fmt.Errorf("it has %d events, and the log %d:\n%q\n%q", len(r.ids), len(ids), r.ids, ids)
	}
	return nil
}
