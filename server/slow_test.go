package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

const (
	slowClients    = 2000
	slowRounds     = 5
	slowRound      = time.Second // in which each slow client sends a byte
	bytesPerClient = 64 << 10

	// What the scheduler of a busy machine adds does not count.
	slowNoise = 10 * time.Millisecond
)

// slowly is many connections that send a byte a second, evenly distributed, so that it is not the test's clients that
// make others wait.
type slowly struct {
	conns []net.Conn
	stop  chan struct{}
	done  chan error
}

func startSlowly(t *testing.T, address net.Addr) *slowly {
	t.Helper()
	s := &slowly{stop: make(chan struct{}), done: make(chan error, 1)}
	for range slowClients {
		conn, err := net.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		s.conns = append(s.conns, conn)
	}
	go func() { s.done <- s.send() }()
	return s
}

// send ends with the first connection that the server has closed, since by then the test must be over.
func (s *slowly) send() error {
	const batches = 200 // a second
	head := "GET / HTTP/1.1\r\nX-A: " + strings.Repeat("a", 100)
	tick := time.NewTicker(time.Second / batches)
	defer tick.Stop()
	for i := 0; ; i += slowClients / batches {
		for j := i; j < i+slowClients/batches; j++ {
			if _, err := s.conns[j%slowClients].Write([]byte{head[j/slowClients]}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-s.stop:
			return nil
		}
	}
}

func (s *slowly) end(t *testing.T) {
	t.Helper()
	close(s.stop)
	if err := <-s.done; err != nil {
		t.Errorf("slow clients: %v", err)
	}
	for _, conn := range s.conns {
		_ = conn.Close()
	}
}

// TestSlowClients measures alternately, with and without 2,000 slow clients: the latency of others must not double, and
// memory must be bounded.
func TestSlowClients(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 3*slowClients {
		t.Skipf("%d open files are too few", limit.Cur)
	}
	m, key := fakemanager.Start(t), fixture.Mint(t)
	config := configFor(t, m, "--upstream="+upstream(t, func(http.ResponseWriter, *http.Request) {}))
	config.LogLevel = slog.LevelInfo
	v := start(t, config)
	m.Next().Send(catchUp(key))
	waitFor(t, "it is ready", func() bool { status, _ := get(t, v.addresses.Admin, "/readyz", ""); return status == http.StatusOK })
	measure(t, v.addresses.Proxy, key) // to warm up

	var without, with []time.Duration
	var ratios []float64
	for range slowRounds {
		calm := measure(t, v.addresses.Proxy, key)
		before := heapInUse()
		s := startSlowly(t, v.addresses.Proxy)
		measure(t, v.addresses.Proxy, key) // until each has sent a byte
		perClient := (heapInUse() - before) / slowClients
		beside := measure(t, v.addresses.Proxy, key)
		s.end(t)
		if perClient > bytesPerClient {
			t.Errorf("%d bytes for a slow client, both ends counted", perClient)
		}
		t.Logf("p99 %v without, %v with slow clients, %d bytes for each", calm, beside, perClient)
		without, with = append(without, calm), append(with, beside)
		ratios = append(ratios, float64(beside)/float64(calm))
	}
	for _, figures := range [][]time.Duration{without, with} {
		slices.Sort(figures)
	}
	slices.Sort(ratios)
	ratio := ratios[slowRounds/2]
	t.Logf("medians: p99 %v without, %v with slow clients; ratio %.2f", without[slowRounds/2], with[slowRounds/2], ratio)
	if ratio > 2 && with[slowRounds/2]-without[slowRounds/2] > slowNoise {
		t.Errorf("slow clients make others wait %.2f times as long", ratio)
	}
}

// measure returns the 99th percentile of the latency of requests on a connection that stays open.
func measure(t *testing.T, address net.Addr, key keyformat.Key) time.Duration {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var times []time.Duration
	for end := time.Now().Add(slowRound); time.Now().Before(end); {
		begin := time.Now()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/x", address), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Api-Key", key.Reveal())
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("status %d", response.StatusCode)
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times[len(times)*99/100]
}

// heapInUse includes stacks: a connection is a goroutine.
func heapInUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}
