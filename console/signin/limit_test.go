package signin_test

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/console/signin"
)

func start() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) }

// TestNeverMoreInAnyWindow compares with a list of all attempts.
func TestNeverMoreInAnyWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := start()
		l := signin.NewLimiter(func() time.Time { return now })
		var allowed []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "pause")))
			recent := 0
			for _, at := range allowed {
				if now.Sub(at) < signin.Window {
					recent++
				}
			}
			wait := l.Person("jane")
			if (wait > 0) != (recent >= signin.Attempts) {
				t.Fatalf("after %d attempts in the window, wait %s", recent, wait)
			}
			if wait == 0 {
				allowed = append(allowed, now)
				continue
			}
			if want := allowed[len(allowed)-signin.Attempts].Add(signin.Window).Sub(now); wait != want {
				t.Fatalf("wait %s, want %s", wait, want)
			}
		}
	})
}

func TestWhoIsOneClient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		one, two string
		same     bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
		{"", "", true},
		{"", "0.0.0.0", false},
	} {
		l := signin.NewLimiter(start)
		one, _ := netip.ParseAddr(test.one)
		two, _ := netip.ParseAddr(test.two)
		for i := range signin.Attempts {
			if wait := l.Address(one); wait != 0 {
				t.Fatalf("%q: attempt %d has to wait %s", test.one, i+1, wait)
			}
		}
		if wait := l.Address(two); (wait == signin.Window) != test.same || !test.same && wait != 0 {
			t.Errorf("%q after %q: wait %s", test.two, test.one, wait)
		}
		if wait := l.Person(test.one); wait != 0 {
			t.Errorf("an account named like an address: wait %s", wait)
		}
	}
}

func TestTheEleventhAttempt(t *testing.T) {
	t.Parallel()
	now := start()
	l := signin.NewLimiter(func() time.Time { return now })
	reached, refused := 0, 0
	handler := l.Limit(func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		func(*http.Request) { refused++ },
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	do := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/sign-in/token", nil))
		return w
	}
	for range signin.Attempts {
		do()
	}
	now = now.Add(time.Minute - time.Millisecond)
	w := do()
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "841" || reached != signin.Attempts || refused != 1 {
		t.Errorf("%d, Retry-After %q, reached %d times, refused %d times", w.Code, w.Header().Get("Retry-After"), reached, refused)
	}
	now = now.Add(841 * time.Second)
	if w := do(); w.Code != http.StatusOK {
		t.Errorf("after Retry-After: %d", w.Code)
	}
}

func TestAClockThatIsTurnedBack(t *testing.T) {
	t.Parallel()
	now := start()
	l := signin.NewLimiter(func() time.Time { return now })
	for range signin.Attempts {
		l.Person("jane")
	}
	now = now.Add(-24 * time.Hour)
	if wait := l.Person("jane"); wait != 0 {
		t.Errorf("wait %s", wait)
	}
}

// TestMemoryIsBounded has more clients than are counted: the last ones are.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l := signin.NewLimiter(start)
	address := func(i int) netip.Addr {
		var bytes [4]byte
		binary.BigEndian.PutUint32(bytes[:], uint32(i))
		return netip.AddrFrom4(bytes)
	}
	for i := range signin.Most + 1 {
		for range signin.Attempts {
			l.Address(address(i))
		}
		l.Person(strconv.Itoa(i))
	}
	if l.Address(address(0)) != 0 {
		t.Error("more addresses are counted than may be")
	}
	if l.Address(address(signin.Most)) == 0 {
		t.Error("the last address is forgotten")
	}
}
