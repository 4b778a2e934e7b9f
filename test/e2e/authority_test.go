package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/syncclient"
	"github.com/keyward-dev/keyward/server/usage"
)

const (
	// kubeletLag is how much later than the ConfigMap its file in a Pod changes.
	kubeletLag = 2 * time.Second
	// cutClients and steadyClients are validation servers whose connections are cut over and over, and those whose are not.
	cutClients, steadyClients = 60, 60
)

// TestAuthorityRenewalCutsNobodyOff renews the authority twice, under load, while the connections of half of all validation
// servers are cut over and over. Their trust comes from the published ConfigMap, as late as by a kubelet.
func TestAuthorityRenewalCutsNobodyOff(t *testing.T) {
	r := startRenewal(t, 2*kubeletLag)
	for range 2 {
		r.renew()
		r.letThemReconnect()
	}
	if n := r.distrusted(); n > 0 {
		t.Errorf("%d connections failed because the manager's certificate was not trusted", n)
	}
	if n := r.lost(); n > 0 {
		t.Errorf("%d connections that nobody cut ended", n)
	}
	asked, refused := r.loop.stop()
	if asked == 0 || len(refused) > 0 {
		t.Errorf("of %d requests meanwhile, these were not allowed: %v", asked, refused)
	}
	t.Logf("%d validation servers; %d connections were cut, the longest disconnection took %s; %d requests, all allowed",
		cutClients+steadyClients, r.cuts(), r.longest().Round(time.Millisecond), asked)
}

// TestThatAuthorityRenewalCanCutOff is the control: with an overlap that is shorter than kubelets take, servers are cut off.
func TestThatAuthorityRenewalCanCutOff(t *testing.T) {
	r := startRenewal(t, time.Millisecond)
	r.renew()
	eventually(t, "servers that do not trust the certificate", patience, func() error {
		if r.distrusted() == 0 {
			return errors.New("all do")
		}
		return nil
	})
}

// renewal is a manager with many validation servers.
type renewal struct {
	*world
	loop   *loadLoop
	caFile string

	cut, steady []*trusting
	cutter      *cutter
}

func startRenewal(t *testing.T, overlap time.Duration) *renewal {
	t.Helper()
	r := &renewal{world: newWorld(t)}
	label := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"keyward.dev/ca":"publish"}}}`))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}
	if err := r.admin.Patch(r.ctx, namespace, label); err != nil {
		t.Fatal(err)
	}
	r.lead(managerSetup{startupGrace: quick, flags: []string{"--authority-overlap=" + overlap.String()}})
	r.mountConfigMap()
	v := r.startValidators("requested")
	r.createGroup()
	r.loop = r.startLoadLoop(r.mint("web"), v)
	r.cutter = r.startCutter()
	for i := range cutClients {
		r.cut = append(r.cut, r.trust(fmt.Sprintf("cut-%d", i), r.cutter.address))
	}
	for i := range steadyClients {
		r.steady = append(r.steady, r.trust(fmt.Sprintf("steady-%d", i), r.syncAddress))
	}
	eventually(t, "all validation servers to be connected", patience, func() error {
		for _, c := range append(r.cut[:len(r.cut):len(r.cut)], r.steady...) {
			if c.connections() == 0 {
				return errors.New(c.instance + " is not")
			}
		}
		return nil
	})
	return r
}

// mountConfigMap plays the kubelet: a file follows the ConfigMap that the manager publishes, late.
func (r *renewal) mountConfigMap() {
	r.t.Helper()
	name := client.ObjectKey{Namespace: r.namespace, Name: "keyward-ca"}
	found := &corev1.ConfigMap{}
	eventually(r.t, "the published ConfigMap", patience, func() error { return r.admin.Get(r.ctx, name, found) })
	dir := r.path("mounted", r.namespace)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.caFile = filepath.Join(dir, caFile)
	write := func(text string) {
		next := r.caFile + ".next"
		if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, r.caFile)); err != nil {
			r.t.Error(err)
		}
	}
	write(found.Data[caFile])
	watch, err := r.admin.Watch(r.ctx, &corev1.ConfigMapList{}, client.InNamespace(r.namespace))
	if err != nil {
		r.t.Fatal(err)
	}
	var mounted sync.WaitGroup
	mounted.Go(func() {
		for e := range watch.ResultChan() {
			if object, ok := e.Object.(*corev1.ConfigMap); ok && object.Name == name.Name {
				time.Sleep(kubeletLag) // nothing is waited for: this is how late a kubelet is
				write(object.Data[caFile])
			}
		}
	})
	r.t.Cleanup(func() { watch.Stop(); mounted.Wait() })
}

// renew asks for a new authority, and returns when it has issued the certificate of the sync port.
func (r *renewal) renew() {
	r.t.Helper()
	before := r.issuer()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: certificates}}
	ask := fmt.Sprintf(`{"metadata":{"annotations":{"keyward.dev/renew-authority":%q}}}`, time.Now().String())
	if err := r.admin.Patch(r.ctx, secret, client.RawPatch("application/merge-patch+json", []byte(ask))); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "a certificate of the new authority", patience, func() error {
		if r.issuer() == before {
			return errors.New("it is that of the earlier one")
		}
		return nil
	})
}

// issuer identifies the authority of the sync port's certificate.
func (r *renewal) issuer() (id string) {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.syncAddress, &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // it looks at the certificate, whoever has issued it
		VerifyConnection: func(state tls.ConnectionState) error {
			id = string(state.PeerCertificates[0].AuthorityKeyId)
			return nil
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	_ = conn.Close()
	return id
}

// letThemReconnect returns when all servers whose connections are cut have connected twice more.
func (r *renewal) letThemReconnect() {
	r.t.Helper()
	wanted := map[*trusting]int{}
	for _, c := range r.cut {
		wanted[c] = c.connections() + 2
	}
	eventually(r.t, "all to connect again", patience, func() error {
		for c, n := range wanted {
			if c.connections() < n {
				return errors.New(c.instance + " does not")
			}
		}
		return nil
	})
}

func (r *renewal) distrusted() (n int) {
	for _, c := range append(r.cut[:len(r.cut):len(r.cut)], r.steady...) {
		c.mu.Lock()
		n += c.distrusted
		c.mu.Unlock()
	}
	return n
}

func (r *renewal) lost() (n int) {
	for _, c := range r.steady {
		n += c.connections() - 1
	}
	return n
}

func (r *renewal) cuts() (n int) {
	for _, c := range r.cut {
		n += c.connections() - 1
	}
	return n
}

func (r *renewal) longest() (longest time.Duration) {
	for _, c := range r.cut {
		c.mu.Lock()
		longest = max(longest, c.longest)
		c.mu.Unlock()
	}
	return longest
}

// trusting is the client of a validation server. What happens to its connection is read from its log.
type trusting struct {
	instance string

	mu                    sync.Mutex
	connected, distrusted int
	lost                  time.Time // zero while it is connected
	longest               time.Duration
}

// trust connects a client for as long as the test lasts.
func (r *renewal) trust(instance, address string) *trusting {
	c := &trusting{instance: instance}
	registry := prometheus.NewRegistry()
	run := syncclient.New(syncclient.Config{
		Address: address, ServerName: "keyward-sync." + systemNamespace + ".svc", CAFile: r.caFile, TokenFile: r.validatorToken.Path(),
		Instance: instance, UsageInterval: time.Minute,
	}, c, usage.New(), quota.New(registry), ratelimit.New(time.Now), slog.New(c), registry)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); run.Run(ctx) }()
	r.t.Cleanup(func() { cancel(); <-done })
	return c
}

func (c *trusting) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected
}

// Begin, Apply, Contact and Rejections implement syncclient.Sink: it needs no records.
func (c *trusting) Begin() ([]*syncv1.KnownGroup, error) { return nil, nil }
func (c *trusting) Apply(*syncv1.Update) error           { return nil }
func (c *trusting) Contact(time.Time)                    {}
func (c *trusting) Rejections(bool) *syncv1.Rejections   { return nil }

// Enabled, Handle, WithAttrs and WithGroup implement slog.Handler.
func (c *trusting) Enabled(context.Context, slog.Level) bool { return true }
func (c *trusting) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *trusting) WithGroup(string) slog.Handler            { return c }

func (c *trusting) Handle(_ context.Context, entry slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.HasPrefix(entry.Message, "connected to the manager"):
		c.connected++
		if !c.lost.IsZero() {
			c.longest, c.lost = max(c.longest, entry.Time.Sub(c.lost)), time.Time{}
		}
	case strings.HasPrefix(entry.Message, "no stream to the manager"):
		if c.lost.IsZero() {
			c.lost = entry.Time
		}
		entry.Attrs(func(a slog.Attr) bool {
			var unknown x509.UnknownAuthorityError
			if err, ok := a.Value.Any().(error); ok && (errors.As(err, &unknown) || strings.Contains(err.Error(), "x509:")) {
				c.distrusted++
			}
			return true
		})
	}
	return nil
}

// cutter forwards connections to the leader, and cuts each of them after a while.
type cutter struct{ address string }

func (r *renewal) startCutter() *cutter {
	r.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(r.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go r.forward(conn)
		}
	}()
	return &cutter{listener.Addr().String()}
}

func (r *renewal) forward(conn net.Conn) {
	backend, err := net.Dial("tcp", r.syncAddress)
	if err != nil {
		_ = conn.Close()
		return
	}
	cut := time.AfterFunc(time.Second+rand.N(2*time.Second), func() { _, _ = conn.Close(), backend.Close() })
	defer cut.Stop()
	forward(conn, backend)
}
