package program

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// TestReadinessAsksOnce: those who wait for an answer that does not come take that for the answer, and do not ask one after the other.
func TestReadinessAsksOnce(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}))
	defer server.Close()
	ready, err := newReadiness(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			answer := httptest.NewRecorder()
			ready.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			if answer.Code != http.StatusServiceUnavailable {
				t.Errorf("%d", answer.Code)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the API server was asked %d times", n)
	}
}
