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
	// maxBody is more than twice what etcd takes of one object: an update shows both states.
	maxBody = 4 << 20
	// smallBody is what nearly all reviews are smaller than. Those wait for no larger one.
	smallBody = 64 << 10
	// readWithin is how long a request may take to arrive, chunkWithin each of its chunks,
	// queueWithin how long it may wait for others, and answerWithin to be decided on after that;
	// the API server waits for ten seconds.
	readWithin   = 3 * time.Second
	chunkWithin  = time.Second
	queueWithin  = 3 * time.Second
	answerWithin = 9 * time.Second
	// maxAnswer is far more than a patch or a refusal has.
	maxAnswer = 64 << 10
)

var (
	errBusy = errors.New("too many admission reviews are under way; try again")
	errLate = errors.New("the admission review did not arrive in time")
)

// Bounded is the server with bounds for whatever is registered with it.
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
	b.Server.Register(path, b.within(hook))
}

func (b *bounded) within(hook http.Handler) http.Handler {
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
		ctx, cancel := context.WithTimeout(r.Context(), readWithin+queueWithin+answerWithin)
		defer cancel()
		answer := b.answer(share, hook, control, r.WithContext(ctx))
		if answer.refused != nil {
			refuse(w, answer.status, answer.refused)
			return
		}
		_ = control.SetReadDeadline(time.Time{})                      // the connection goes on
		_ = control.SetWriteDeadline(b.clock.Now().Add(answerWithin)) // of whoever does not read the answer, which holds nothing of others
		answer.to(w)
	})
}

// answer lets the hook answer a request, which has its part of what all share no longer than that takes.
func (b *bounded) answer(share *share, hook http.Handler, control *http.ResponseController, r *http.Request) *answer {
	var held hold
	defer held.release()
	var reserve func(int) error // before so many bytes more are read
	if r.ContentLength > smallBody {
		ctx, cancel := context.WithTimeout(r.Context(), queueWithin)
		defer cancel()
		if held.acquire(ctx, share.large, r.ContentLength) != nil {
			return refusal(http.StatusServiceUnavailable, errBusy)
		}
		reserve = func(n int) error { return held.acquire(ctx, b.shares.large, int64(n)) }
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
	if reserve == nil && (held.acquire(r.Context(), share.small, 1) != nil || held.acquire(r.Context(), b.shares.small, 1) != nil) {
		return refusal(http.StatusServiceUnavailable, errBusy)
	}
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		conn.setWorking(true)
		defer conn.setWorking(false)
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := &answer{header: http.Header{}, status: http.StatusOK}
	hook.ServeHTTP(answer, r)
	return answer
}

// receive reads a body. What is reserved for it and allocated grows with what arrives, not with what is declared.
func (b *bounded) receive(r *http.Request, control *http.ResponseController, reserve func(int) error) ([]byte, error) {
	var body []byte
	left := readWithin // without the time in which it is us who wait
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
		// Of a large body, which others may wait for, each chunk has its time, too.
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

// refuse answers without having read what there may be of the body. The connection ends with it.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Connection", "close")
	http.Error(w, err.Error(), status)
}

// answer is that of a hook, until it is sent: nobody else has to wait for whoever does not take it.
type answer struct {
	header  http.Header
	status  int
	body    []byte
	refused error // without the hook
}

var errAnswer = fmt.Errorf("an answer has at most %d bytes", maxAnswer)

func refusal(status int, err error) *answer { return &answer{status: status, refused: err} }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if len(a.body)+len(p) > maxAnswer {
		a.status, a.body = http.StatusInternalServerError, nil
		a.refused = errAnswer
	}
	if a.refused != nil {
		return 0, a.refused
	}
	a.body = append(a.body, p...)
	return len(p), nil
}

func (a *answer) to(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // fails where the client is gone
}
