package gateways

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

const (
	large  = 100 << 20 // bytes
	events = 5

	// Other facts that the content server sees, recorded like headers.
	headerTarget = "Seen-Target"
	headerHost   = "Seen-Host"
)

// contentServer serves each kind of content.
func (w *world) contentServer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /media/socket", echo)
	mux.HandleFunc("GET /media/chat", w.chat)
	mux.HandleFunc("GET /media/events", w.sendEvents)
	mux.HandleFunc("GET /media/large", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(rw, largeContent()) // the client compares
	})
	mux.HandleFunc("POST /media/upload", func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, checksum(r.Body))
	})
	mux.HandleFunc("GET /media/text", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "a scene")
	})
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Set(headerTarget, r.RequestURI)
		r.Header.Set(headerHost, r.Host)
		w.seen <- r.Header
		rw.Header().Set("X-Request-Id", "of-the-upstream")
		for name, values := range r.URL.Query() { // headers that the content server has to send
			if said, ok := strings.CutPrefix(name, "say-"); ok {
				rw.Header()[http.CanonicalHeaderKey(said)] = values
			}
		}
		if strings.HasSuffix(r.URL.Path, "/cors") {
			rw.Header().Set("Access-Control-Allow-Origin", "https://theirs.example")
		}
		if strings.HasSuffix(r.URL.Path, "/teapot") {
			rw.WriteHeader(http.StatusForbidden)
		}
	})
	return mux
}

// largeContent is always the same, and no two parts of it are equal.
func largeContent() io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{}), large)
}

func checksum(content io.Reader) string {
	hash := sha256.New()
	n, err := io.Copy(hash, content)
	return fmt.Sprint(n, " ", hex.EncodeToString(hash.Sum(nil)), " ", err)
}

// echo returns what it receives.
func echo(rw http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(rw, r, nil)
	if err != nil {
		return // it has responded
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// chat is a WebSocket that speaks the subprotocol chat, and says what it was offered.
func (w *world) chat(rw http.ResponseWriter, r *http.Request) {
	r.Header.Set(headerTarget, r.RequestURI)
	w.seen <- r.Header
	conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
	if err != nil {
		return // it has responded
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

// sendEvents sends one event after the other, each after the client has received the previous one. If something keeps them
// back, it sends only one.
func (w *world) sendEvents(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	for i := range events {
		if _, err := fmt.Fprintf(rw, "data: %d\n\n", i); err != nil || http.NewResponseController(rw).Flush() != nil {
			return
		}
		select {
		case <-w.received:
		case <-r.Context().Done():
			return
		}
	}
}
