package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/decisioncode"
)

// TestQuota sends more requests than a Group may have, as fast as validation servers accept them, while servers start and
// stop and leaders are killed: exactly the quota is admitted, all other requests get a 402, and exactly what was admitted is
// counted.
func TestQuota(t *testing.T) {
	t.Run("1,000 requests and 16 servers", func(t *testing.T) {
		newQuotaRun(t, 16, 1_000, v1alpha1.QuotaFailureDeny, "").exactly(2_000)
	})
	t.Run("50,000 requests, 8 servers that come and go, and leaders that are killed", func(t *testing.T) {
		r := newQuotaRun(t, 8, 50_000, v1alpha1.QuotaFailureDeny, "")
		r.comeAndGo()
		r.exactly(80_000)
	})
	t.Run("20,000 requests of which some count as seven, in a period of the Group's own, with leaders that are killed", func(t *testing.T) {
		r := newQuotaRun(t, 8, 20_000, v1alpha1.QuotaFailureDeny, "", func(group *v1alpha1.Group) {
			group.Spec.Limits.Period = &v1alpha1.QuotaPeriod{AnchorDay: ptr.To[int32](31)}
			group.Spec.Capabilities = []v1alpha1.Capability{{Name: "heavy", Cost: ptr.To[int32](heavyCost),
				Routes: []v1alpha1.Route{{Paths: []string{"/mkt/heavy"}}}}}
		})
		r.heavy = true
		r.comeAndGo()
		r.offer(25_000)
		r.heavy = false
		r.offer(1_000) // for what is left, and costs less
		t.Logf("%d admitted, %d refused with 402, %d times 503", r.admitted.Load(), r.exceeded.Load(), r.unavailable.Load())
		if r.admitted.Load() != int64(r.quota) {
			t.Errorf("%d admitted, with a quota of %d", r.admitted.Load(), r.quota)
		}
		r.awaitCounted(r.admitted.Load())
	})
}

// quotaClients is how many clients ask at the same time.
const quotaClients = 32

// heavyCost is what a heavy request counts as.
const heavyCost = 7

// TestQuotaInRedis is the same with another store, which is killed in the middle.
func TestQuotaInRedis(t *testing.T) {
	redis := startRedis(t)
	r := newQuotaRun(t, 8, 50_000, v1alpha1.QuotaFailureDeny, redis.url())
	r.comeAndGo()
	r.at(r.quota*2/5, redis.restart)
	r.exactly(80_000)
}

// TestQuotaCrash kills a validation server: at most the quota is admitted, and at least the quota without what was leased
// to the server.
func TestQuotaCrash(t *testing.T) {
	r := newQuotaRun(t, 3, 5_000, v1alpha1.QuotaFailureDeny, "")
	r.at(r.quota/2, func() { r.take().kill() })
	r.offer(8_000)
	used := &v1alpha1.GroupUsage{}
	if err := r.admin.Get(r.ctx, client.ObjectKey{Namespace: r.namespace, Name: "acme"}, used); err != nil {
		t.Fatal(err)
	}
	held := int64(0)
	for _, entry := range used.Status.Ledgers[0].Entries {
		if strings.HasPrefix(entry.Server, "validator-1@") {
			held = ptr.Deref(entry.Leased, 0) - ptr.Deref(entry.Spent, 0)
		}
	}
	t.Logf("%d admitted of %d, the server that was killed held %d", r.admitted.Load(), r.quota, held)
	if missing := int64(r.quota) - r.admitted.Load(); missing < 0 || missing > held {
		t.Errorf("%d admitted of %d, where %d were held", r.admitted.Load(), r.quota, held)
	}
}

// TestQuotaAllow kills the leader permanently while requests continue: the status reports exactly what was admitted beyond
// the quota.
func TestQuotaAllow(t *testing.T) {
	const quota, offered = 5_000, 9_000
	r := newQuotaRun(t, 3, quota, v1alpha1.QuotaFailureAllow, "")
	r.at(quota/2, r.killLeader)
	r.at(quota*3/4, r.killLeader)
	r.offer(offered)
	r.awaitLeader()
	for r.exceeded.Load() == 0 { // what is left, with the leader there
		r.offer(100)
	}
	r.offer(1000)
	usage := r.awaitCounted(r.admitted.Load())
	beyond := r.admitted.Load() - quota
	t.Logf("%d admitted beyond the quota", beyond)
	if unconfirmed := ptr.Deref(usage.UnconfirmedRequests, 0); unconfirmed != beyond {
		t.Errorf("%d admitted beyond the quota, status says %d", beyond, unconfirmed)
	}
}

// quotaRun has clients of one Group on many validation servers.
type quotaRun struct {
	*world

	quota    int
	heavy    bool // whether some requests are heavy
	setup    managerSetup
	key      string
	http     http.Client
	managers []*manager // the leader first
	named    int

	mu         sync.RWMutex
	validators []*validator

	changes []change

	admitted, exceeded, unavailable, lost atomic.Int64
	exceededByKey                         atomic.Int64 // of exceeded, those that the quota of the key refuses
}

// change is an action that is due when a number of requests is admitted.
type change struct {
	at int64
	do func()
}

func newQuotaRun(t *testing.T, validators, quota int, policy v1alpha1.QuotaFailurePolicy, store string,
	change ...func(*v1alpha1.Group),
) *quotaRun {
	w := newWorld(t)
	r := &quotaRun{world: w, quota: quota, setup: managerSetup{elect: true, level: "info"}}
	if store != "" {
		r.setup.environment = []string{"KEYWARD_USAGE_STORE=" + store}
	}
	r.http.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
	r.http.Timeout = patience
	t.Cleanup(r.http.CloseIdleConnections)
	r.managers = append(r.managers, w.startManager(r.setup))
	w.awaitReady(r.managers[0])
	w.awaitLeader()
	r.managers = append(r.managers, w.startManager(r.setup))
	w.awaitReady(r.managers[1])
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "marketing", Routes: []v1alpha1.Route{{Paths: []string{"/mkt/**"}}}}}
	group.Spec.Limits = v1alpha1.Limits{RequestsPerMonth: ptr.To(int64(quota)), QuotaFailurePolicy: policy}
	for _, f := range change {
		f(group)
	}
	w.create(group)
	for range validators {
		r.addValidator()
	}
	for _, v := range r.validators {
		v.awaitReady()
	}
	r.key = w.mint("counted")
	return r
}

func (r *quotaRun) addValidator() {
	r.named++
	v := r.startValidator(validatorSetup{
		instance: fmt.Sprintf("validator-%d", r.named),
		flags:    []string{"--log-level=info", "--usage-interval=1s", "--usage-timeout=" + patience.String(), "--namespace=" + r.namespace},
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.validators = append(r.validators, v)
}

// take removes a server from those that clients use.
func (r *quotaRun) take() *validator {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.validators[0]
	r.validators = r.validators[1:]
	return v
}

// replaceValidator stops one server as a kubelet does, and adds another.
func (r *quotaRun) replaceValidator() {
	r.addValidator()
	r.take().signal(r.t, syscall.SIGTERM)
}

// comeAndGo replaces two validation servers and kills two leaders during the run.
func (r *quotaRun) comeAndGo() {
	r.at(r.quota/6, r.replaceValidator)
	r.at(r.quota/3, r.killLeader)
	r.at(r.quota/2, r.replaceValidator)
	r.at(r.quota*2/3, r.killLeader)
}

// exactly sends requests, of which exactly the quota has to be admitted and counted.
func (r *quotaRun) exactly(offered int) {
	t := r.t
	t.Helper()
	begin := time.Now()
	r.offer(offered)
	t.Logf("%d admitted, %d refused with 402, %d times 503, %d connections lost, in %s",
		r.admitted.Load(), r.exceeded.Load(), r.unavailable.Load(), r.lost.Load(), time.Since(begin).Round(time.Millisecond))
	if r.admitted.Load() != int64(r.quota) || r.exceeded.Load() != int64(offered-r.quota) {
		t.Errorf("%d admitted and %d refused of %d, with a quota of %d", r.admitted.Load(), r.exceeded.Load(), offered, r.quota)
	}
	usage := r.awaitCounted(r.admitted.Load())
	if ptr.Deref(usage.UnconfirmedRequests, 0) != 0 {
		t.Errorf("status says that %d were allowed unconfirmed", *usage.UnconfirmedRequests)
	}
}

// killLeader kills the leading manager, so that the waiting one leads, and starts another.
func (r *quotaRun) killLeader() {
	r.awaitLeader() // the one before is gone, so it is this one
	r.managers[0].kill()
	r.managers = append(r.managers[1:], r.startManager(r.setup))
}

func (r *quotaRun) at(admitted int, do func()) {
	r.changes = append(r.changes, change{int64(admitted), do})
	slices.SortStableFunc(r.changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
}

// changed makes the changes that are due.
func (r *quotaRun) changed() {
	for len(r.changes) > 0 && r.admitted.Load() >= r.changes[0].at {
		r.changes[0].do()
		r.changes = r.changes[1:]
	}
}

// offer sends requests until each has been admitted or finally refused.
func (r *quotaRun) offer(requests int) {
	var left atomic.Int64
	left.Store(int64(requests))
	var asking sync.WaitGroup
	for range quotaClients {
		asking.Go(func() {
			for left.Add(-1) >= 0 {
				if err := r.ask(); err != nil {
					r.t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { asking.Wait(); close(done) }()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-done:
			tick.Stop()
			if len(r.changes) > 0 {
				r.t.Errorf("%d changes were still to come", len(r.changes))
			}
			return
		case <-tick.C:
			r.changed()
		}
	}
}

// ask sends one request, and repeats it if the response says so.
func (r *quotaRun) ask() error {
	path, cost := "/mkt/scene", int64(1)
	if r.heavy && rand.IntN(4) == 0 {
		path, cost = "/mkt/heavy", heavyCost
	}
	for {
		r.mu.RLock()
		v := r.validators[rand.IntN(len(r.validators))]
		r.mu.RUnlock()
		request, err := http.NewRequestWithContext(r.ctx, http.MethodGet, "http://"+v.listens.HTTP.String()+"/authz", nil)
		if err != nil {
			return err
		}
		request.Header = http.Header{
			"Authorization": {"Bearer " + r.key}, "X-Forwarded-Method": {"GET"},
			"X-Forwarded-Host": {"cdn.acme.com"}, "X-Forwarded-Uri": {path},
		}
		response, err := r.http.Do(request)
		if err != nil {
			if r.ctx.Err() != nil {
				return err
			}
			r.lost.Add(1) // it stopped while we connected: nothing was decided
			continue
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		switch response.StatusCode {
		case http.StatusOK:
			r.admitted.Add(cost)
			return nil
		case http.StatusPaymentRequired:
			r.exceeded.Add(1)
			if strings.Contains(string(body), decisioncode.KeyQuotaExceeded.String()) {
				r.exceededByKey.Add(1)
			}
			if response.Header.Get("Retry-After") == "" {
				return errors.New("402 without Retry-After")
			}
			return nil
		case http.StatusServiceUnavailable:
			r.unavailable.Add(1)
			seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
			if err != nil {
				return fmt.Errorf("503 without Retry-After: %w", err)
			}
			select {
			case <-time.After(time.Duration(seconds) * time.Second):
			case <-r.ctx.Done():
				return r.ctx.Err()
			}
		default:
			return fmt.Errorf("%s answers %s", v.setup.instance, response.Status)
		}
	}
}

// awaitCounted waits until the GroupUsage counts exactly this number of requests, in the month and on its days.
func (r *quotaRun) awaitCounted(requests int64) v1alpha1.UsageCounts {
	r.t.Helper()
	var counts v1alpha1.UsageCounts
	eventually(r.t, "the GroupUsage to count all requests", patience, func() error {
		counts = r.usage("acme")
		if ptr.Deref(counts.Requests, 0) != requests {
			said, err := json.Marshal(counts)
			return errors.Join(fmt.Errorf("of %d it says %s", requests, said), err)
		}
		return nil
	})
	used := &v1alpha1.GroupUsage{}
	if err := r.admin.Get(r.ctx, client.ObjectKey{Namespace: r.namespace, Name: "acme"}, used); err != nil {
		r.t.Fatal(err)
	}
	byDay := int64(0)
	for _, day := range used.Status.Days {
		byDay += ptr.Deref(day.Requests, 0)
	}
	if byDay != requests {
		r.t.Errorf("the days have %d of %d requests", byDay, requests)
	}
	return counts
}
