package admissionserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

const (
	// maxBody is more than twice the size that etcd accepts for one object: an update has both states.
	maxBody = 4 << 20
	// smallBody is more than the size of nearly all reviews. Small reviews do not wait for large ones.
	smallBody = 64 << 10
	// readWithin is how long a request may take to arrive, chunkWithin how long each of its chunks,
	// queueWithin how long it may wait for others, and respondWithin how long the decision may take after that;
	// the API server waits for ten seconds.
	readWithin    = 3 * time.Second
	chunkWithin   = time.Second
	queueWithin   = 3 * time.Second
	respondWithin = 9 * time.Second
	// maxResponse is more than any patch or refusal needs; package grant keeps refusals within it.
	maxResponse = 64 << 10
)

var (
	errBusy = errors.New("too many admission reviews are in progress; try again")
	errLate = errors.New("the admission review did not arrive in time")
)

// Bounded returns the server with bounds for all handlers that are registered with it.
func Bounded(server webhook.Server, now clock.PassiveClock) webhook.Server {
	return &bounded{Server: server, clock: now, shares: newShares()}
}

type bounded struct {
	webhook.Server

	clock  clock.PassiveClock
	shares *shares
}

// Register implements webhook.Server.
func (b *bounded) Register(path string, hook http.Handler) {
	expectFailures(path)
	b.Server.Register(path, b.within(path, hook))
}

func (b *bounded) within(path string, hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(b.clock.Now().Add(readWithin)) // not supported by test recorders
		switch {
		case r.ContentLength < 0:
			refuse(w, http.StatusLengthRequired, errors.New("send the Content-Length"))
			return
		case r.ContentLength > maxBody:
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("an admission review has at most %d bytes", maxBody))
			return
		}
		share, leave := b.shares.of(peerOf(r.RemoteAddr))
		defer leave()
		ctx, cancel := context.WithTimeout(r.Context(), readWithin+queueWithin+respondWithin)
		defer cancel()
		response := b.respond(share, hook, control, r.WithContext(ctx))
		countFailure(path, response)
		if response.refused != nil {
			refuse(w, response.status, response.refused)
			return
		}
		_ = control.SetReadDeadline(time.Time{}) // the connection stays open
		// A client that does not read the response takes nothing from others meanwhile.
		_ = control.SetWriteDeadline(b.clock.Now().Add(respondWithin))
		response.to(w)
	})
}

// respond has the hook respond to a request. The request keeps what it has acquired of the shares only for as long as that takes.
func (b *bounded) respond(share *share, hook http.Handler, control *http.ResponseController, r *http.Request) *response {
	var acquired hold
	defer acquired.release()
	var reserve func(int) error // called before this number of additional bytes is read
	if r.ContentLength > smallBody {
		ctx, cancel := context.WithTimeout(r.Context(), queueWithin)
		defer cancel()
		if acquired.acquire(ctx, share.large, r.ContentLength) != nil {
			return refusal(http.StatusServiceUnavailable, errBusy)
		}
		reserve = func(n int) error { return acquired.acquire(ctx, b.shares.large, int64(n)) }
	}
	body, err := b.receive(r, control, reserve)
	switch {
	case errors.Is(err, errBusy):
		return refusal(http.StatusServiceUnavailable, err)
	case err != nil:
		return refusal(http.StatusRequestTimeout, errLate)
	}
	if err := checkShape(body); err != nil {
		return refusal(http.StatusRequestEntityTooLarge, err)
	}
	if reserve == nil && (acquired.acquire(r.Context(), share.small, 1) != nil || acquired.acquire(r.Context(), b.shares.small, 1) != nil) {
		return refusal(http.StatusServiceUnavailable, errBusy)
	}
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		conn.setWorking(true)
		defer conn.setWorking(false)
	}
	ctx, cancel := context.WithTimeout(r.Context(), respondWithin)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	response := &response{header: http.Header{}, status: http.StatusOK}
	hook.ServeHTTP(response, r)
	return response
}

// receive reads a body. The memory that is reserved and allocated for it grows with what arrives, not with what is declared.
func (b *bounded) receive(r *http.Request, control *http.ResponseController, reserve func(int) error) ([]byte, error) {
	var body []byte
	left := readWithin // without the time that this server spends on waiting for memory
	for missing := int(r.ContentLength); missing > 0; {
		if cap(body) == len(body) {
			grown := min(max(2*len(body), 4<<10), int(r.ContentLength))
			if reserve != nil {
				if err := reserve(grown - len(body)); err != nil {
					return nil, errBusy
				}
			}
			body = append(make([]byte, 0, grown), body...)
		}
		// Others may wait for a large body, so each of its chunks has a time limit, too.
		within, chunk := left, body[len(body):min(cap(body), len(body)+smallBody)]
		if reserve != nil {
			within = min(left, chunkWithin)
		}
		start := b.clock.Now()
		if len(body) > 0 || reserve != nil {
			_ = control.SetReadDeadline(start.Add(within))
		}
		n, err := io.ReadFull(r.Body, chunk)
		if err != nil {
			return nil, err
		}
		if left -= b.clock.Since(start); left <= 0 && n < missing {
			return nil, errLate
		}
		body, missing = body[:len(body)+n], missing-n
	}
	return body, nil
}

// refuse responds without reading the rest of the body. The connection is closed after that.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Connection", "close")
	http.Error(w, err.Error(), status)
}

// response is that of a hook until it is sent, so that nobody has to wait for a client that does not read its response.
type response struct {
	header  http.Header
	status  int
	body    []byte
	refused error // without the hook
}

var errResponse = fmt.Errorf("a response has at most %d bytes", maxResponse)

func refusal(status int, err error) *response { return &response{status: status, refused: err} }

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *response) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	if len(r.body)+len(p) > maxResponse {
		r.status, r.body = http.StatusInternalServerError, nil
		r.refused = errResponse
	}
	if r.refused != nil {
		return 0, r.refused
	}
	r.body = append(r.body, p...)
	return len(p), nil
}

func (r *response) to(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // fails where the client has gone
}
