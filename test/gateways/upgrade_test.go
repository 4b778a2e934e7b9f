package gateways

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	_ "github.com/keyward-dev/keyward/server" // part of the program that is built, and so of what is tested
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

const (
	rate       = 1000 // requests a second
	atOnce     = 100  // requests at most
	loadBefore = rate // requests, around each change
)

// instance is a validator process at a fixed address.
type instance struct {
	name, http, admin string

	process *exec.Cmd
	output  *strings.Builder
}

// fleet is what an operator has to upgrade.
type fleet struct {
	manager *fakemanager.Manager
	program string
	update  *syncv1.Update
}

func newFleet(t *testing.T) (*fleet, keyformat.Key) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "validator")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/validator").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key := fixture.Mint(t)
	digest := key.Digest()
	return &fleet{manager: fakemanager.Start(t), program: program, update: &syncv1.Update{Revision: 1, CaughtUp: true,
		Groups: []*syncv1.Group{{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
			Projects: []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: &syncv1.OriginPolicy{AllowMissing: true}}}}},
		Keys: []*syncv1.Key{{Id: "k1", Group: "tenants/acme", Projects: []string{"default"}, Permissions: []string{"read"},
			Versions: []*syncv1.Version{{Digest: digest[:]}}}},
	}}, key
}

// start starts a validator, which gets requests from the moment when it listens, before it has its keys.
func (f *fleet) start(t *testing.T, i *instance) {
	t.Helper()
	i.process = exec.CommandContext(t.Context(), f.program, "--instance="+i.name, "--http-bind-address="+i.http,
		"--admin-bind-address="+i.admin, "--grpc-bind-address=127.0.0.1:0",
		"--trusted-proxies=127.0.0.1/32", "--shutdown-delay=500ms",
		"--sync-address="+f.manager.Address, "--sync-server-name="+fakemanager.ServerName, "--sync-ca-file="+f.manager.CAFile,
		"--sync-token-file="+f.manager.TokenFile)
	i.output = &strings.Builder{}
	i.process.Stderr = i.output
	if err := i.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.process.Process.Kill() })
}

// sync gives the validator that has just connected its keys.
func (f *fleet) sync(t *testing.T, i *instance) {
	t.Helper()
	f.manager.Next().Send(f.update)
	await(t, i.name+" to be ready", func() bool {
		response, err := http.Get("http://" + i.admin + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (i *instance) terminate(t *testing.T) {
	t.Helper()
	if err := i.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := i.process.Wait(); err != nil {
		t.Errorf("%s: %v: %s", i.name, err, i.output)
	}
}

// load sends requests at a rate until it is stopped, and counts those without the right response.
type load struct {
	client      *http.Client
	target      string
	key         string
	completed   atomic.Int64
	failed      atomic.Int64
	firstFailed atomic.Pointer[string]
}

func (l *load) run(ctx context.Context) time.Duration {
	var running sync.WaitGroup
	slots, begin := make(chan struct{}, atOnce), time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		wait := time.NewTimer(time.Until(begin.Add(time.Duration(n) * time.Second / rate)))
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := l.one(n); err != nil {
				text := err.Error()
				l.firstFailed.CompareAndSwap(nil, &text)
				l.failed.Add(1)
			}
			l.completed.Add(1)
		})
	}
	running.Wait()
	return time.Since(begin)
}

// one sends a request that is allowed or, each tenth, one that is denied with a body. Both have a body that cannot be sent
// twice, so that this client repeats nothing automatically.
func (l *load) one(n int) error {
	method, status, text := http.MethodGet, http.StatusOK, "content"
	if n%10 == 0 {
		method, status, text = http.MethodPost, http.StatusForbidden, "permission_denied"
	}
	request, err := http.NewRequestWithContext(context.Background(), method, l.target, io.NopCloser(strings.NewReader("once")))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+l.key)
	response, err := l.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != status || !strings.Contains(string(body), text)) {
		err = fmt.Errorf("%s: %d %s", method, response.StatusCode, body)
	}
	return err
}

// TestUpgradeUnderLoad replaces both validators behind nginx, one after the other, at the same addresses. Clients do not
// notice.
func TestUpgradeUnderLoad(t *testing.T) {
	installed(t, "nginx")
	f, key := newFleet(t)
	instances := []*instance{{name: "validator-0", http: freeAddress(t), admin: freeAddress(t)},
		{name: "validator-1", http: freeAddress(t), admin: freeAddress(t)}}
	for _, i := range instances {
		f.start(t, i)
		f.sync(t, i)
	}
	content := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "content") }))
	address := startNginx(t, &world{keyward: instances[0].http + " max_fails=0; server " + instances[1].http, content: content})
	waitFor(t, address)

	transport := &http.Transport{MaxIdleConnsPerHost: atOnce,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(usualClient)}}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	l := &load{client: &http.Client{Transport: transport, Timeout: patience / 6}, target: "http://" + address + "/media/1",
		key: key.Reveal()}
	ctx, stop := context.WithTimeout(t.Context(), 3*patience)
	took := make(chan time.Duration, 1)
	go func() { took <- l.run(ctx) }()
	more := func() {
		until := l.completed.Load() + loadBefore
		await(t, "the load", func() bool { return l.completed.Load() >= until })
	}
	more()
	for _, i := range instances {
		i.terminate(t)
		more()
		f.start(t, i)
		waitFor(t, i.http)
		more() // it gets requests, and has no keys yet
		f.sync(t, i)
		more()
	}
	stop()
	seconds := (<-took).Seconds()
	t.Logf("%d requests in %.1f s, %.0f a second; %d failed", l.completed.Load(), seconds, float64(l.completed.Load())/seconds,
		l.failed.Load())
	if l.failed.Load() > 0 {
		t.Errorf("%d failed; the first: %s", l.failed.Load(), *l.firstFailed.Load())
	}
}
