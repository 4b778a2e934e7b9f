package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

const (
	unfinishedHeads = 10_000
	unfinishedBytes = 60 << 10 // of each, less than the limit

	// maxForHeads is what they may cost, of a container's 512 MiB. Both ends are in this process.
	maxForHeads = 192 << 20
)

// TestUnfinishedHeads: clients that begin a request and never end it cost bounded memory, for any number of them, and
// keep nobody out.
func TestUnfinishedHeads(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < unfinishedHeads+6000 {
		t.Skipf("%d open files are too few", limit.Cur)
	}
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--read-header-timeout=10m", "--upstream="+upstream(t, func(http.ResponseWriter, *http.Request) {})))
	m.Next().Send(catchUp(key))
	waitFor(t, "it is ready", func() bool { status, _ := get(t, v.addresses.Admin, "/readyz", ""); return status == http.StatusOK })
	head := "GET / HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", unfinishedBytes)
	before, most := heapInUse(), int64(0)
	var conns []net.Conn
	t.Cleanup(func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	for i := range unfinishedHeads {
		conn, err := net.Dial("tcp", v.addresses.Proxy.String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, head) // it may have been evicted by now
		if i%1000 == 999 {
			most = max(most, heapInUse()-before)
			good, err := net.Dial("tcp", v.addresses.Proxy.String())
			if err != nil {
				t.Fatal(err)
			}
			_ = good.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = fmt.Fprintf(good, "GET / HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\nConnection: close\r\n\r\n", key.Reveal())
			response, err := http.ReadResponse(bufio.NewReader(good), nil)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("beside %d unfinished heads: %v", i+1, err)
			}
			if err == nil {
				_ = response.Body.Close()
			}
			_ = good.Close()
		}
	}
	t.Logf("%d unfinished heads of %d bytes: %d MiB", unfinishedHeads, unfinishedBytes, most>>20)
	if most > maxForHeads {
		t.Errorf("unfinished heads cost %d MiB", most>>20)
	}
}
