package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	workers  = 8
	interval = 80 * time.Millisecond // of each worker: 100 requests in a second
	// kept is how many losses are described; all are counted.
	kept          = 20
	reportAddress = ":8090"
)

// report is what GET /report returns. POST /begin starts to count from zero, except keys.
type report struct {
	Requests int      `json:"requests"`
	Losses   int      `json:"losses"`
	Examples []string `json:"examples,omitempty"`
	// Keys is how many different keys were sent, and Key the hint of the last one.
	Keys int    `json:"keys"`
	Key  string `json:"key"`
	// LongestMillis is the longest time between two responses that were allowed.
	LongestMillis int64 `json:"longestMillis"`
}

type tally struct {
	sync.Mutex

	report

	seen map[string]bool
	last time.Time
}

func (t *tally) add(sent result) {
	t.Lock()
	defer t.Unlock()
	now := time.Now()
	t.Requests++
	if sent.key != "" {
		t.seen[sent.key] = true
		t.Keys, t.Key = len(t.seen), sent.key[max(0, len(sent.key)-4):]
	}
	if sent.lost() {
		t.Losses++
		if len(t.Examples) < kept {
			t.Examples = append(t.Examples, now.UTC().Format("15:04:05.000 ")+sent.String())
		}
		return
	}
	if !t.last.IsZero() {
		t.LongestMillis = max(t.LongestMillis, now.Sub(t.last).Milliseconds())
	}
	t.last = now
}

// load sends requests from several workers: half of them use their connections again, as browsers and servers do, and half open
// one for each request.
func load(ctx context.Context, app *client) error {
	total := &tally{seen: map[string]bool{}}
	var sending sync.WaitGroup
	for worker := range workers {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.DisableKeepAlives = worker%2 == 0
		via := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		sending.Go(func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					total.add(app.send(context.WithoutCancel(ctx), via))
				}
			}
		})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		total.Lock()
		defer total.Unlock()
		_ = json.NewEncoder(w).Encode(total.report) // a client that has gone needs no report
	})
	mux.HandleFunc("POST /begin", func(http.ResponseWriter, *http.Request) {
		total.Lock()
		defer total.Unlock()
		total.report = report{Keys: total.Keys, Key: total.Key}
	})
	server := &http.Server{Addr: reportAddress, Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	sending.Wait()
	return nil
}
