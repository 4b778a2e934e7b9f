package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// strangers is enough to fill everything that is reserved for large reviews.
	strangers = 80
	// strangersMemory is how many bytes of the manager's memory they may cause.
	strangersMemory = 96e6
)

// TestStrangersAtTheWebhookPort has clients without any credential begin requests of 4 MB, send a part, and come back when
// they are cut off. Meanwhile keys are suspended and resumed, each within the ten seconds that the API server waits.
func TestStrangersAtTheWebhookPort(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{level: "info"})
	w.createGroup()
	w.createKey("k")
	before := m.memory(t)
	ctx, stop := context.WithCancel(w.ctx)
	var running sync.WaitGroup
	defer func() { stop(); running.Wait() }()
	for i := range strangers {
		send := []int{1, 1 << 20, 3_900_000, 60_000}[i%4]
		running.Go(func() {
			for ctx.Err() == nil {
				stall(ctx, m.webhooks, send)
			}
		})
	}
	slowest, most := time.Duration(0), 0.0
	for i := range 20 {
		key := w.newKey("k")
		patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"suspended":%t}}`, i%2 == 0))
		begin := time.Now()
		if err := w.admin.Patch(w.ctx, &v1alpha1.ApiKey{ObjectMeta: key.ObjectMeta}, patch); err != nil {
			t.Errorf("change %d: %v", i, err)
		}
		slowest, most = max(slowest, time.Since(begin)), max(most, m.memory(t)-before)
	}
	t.Logf("slowest change %s; memory %.1f MB before, and %.1f MB more at most", slowest, before/1e6, most/1e6)
	if most > strangersMemory {
		t.Errorf("the manager's memory has grown by %.1f MB", most/1e6)
	}
}

// stall sends a part of a request, and waits until the server closes the connection.
func stall(ctx context.Context, address string, send int) {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 10 * time.Second},
		Config:    &tls.Config{InsecureSkipVerify: true}, // a stranger does not verify the server
	}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.(*tls.Conn).NetConn().Close() })()
	_, err = io.WriteString(connection, "POST /validate-keyward-dev-v1alpha1-group HTTP/1.1\r\nHost: "+
		"x\r\nContent-Length: 4000000\r\n\r\n"+strings.Repeat("x", send))
	if err == nil {
		_, _ = io.Copy(io.Discard, connection)
	}
}
