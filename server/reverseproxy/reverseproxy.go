// Package reverseproxy is the door that stands in front of one upstream itself. It streams
// both ways, passes protocol upgrades such as WebSockets on, and sends the upstream exactly
// the path that was decided on.
package reverseproxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/keyward-dev/keyward/server/clientaddr"
	"github.com/keyward-dev/keyward/server/gate"
	"github.com/keyward-dev/keyward/server/httpwire"
)

const (
	doorName = "reverseproxy"

	flushAtOnce           = -1
	copyBuffer            = 32 << 10 // bytes
	dialTimeout           = 5 * time.Second
	responseHeaderTimeout = 60 * time.Second
	idleTimeout           = 90 * time.Second
	maxIdlePerUpstream    = 256
)

// Config says where requests go.
type Config struct {
	// Upstream has a scheme and a host, and no path.
	Upstream *url.URL
	// Project is the trusted project of all requests, or "" to ask the routes.
	Project string
	// KeepCredential lets the upstream see the key.
	KeepCredential bool
	// Clients knows which proxies may stand in front.
	Clients *clientaddr.Resolver
}

// New returns the door.
func New(g *gate.Gate, config Config, log *slog.Logger) http.Handler {
	h := &handler{door: g.Door(doorName), config: config, log: log}
	h.proxy = &httputil.ReverseProxy{
		Rewrite: h.rewrite,

		ModifyResponse: modifyResponse,
		ErrorHandler:   h.upstreamFailed,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		FlushInterval:  flushAtOnce,
		BufferPool:     &buffers{},
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: responseHeaderTimeout,
			IdleConnTimeout:       idleTimeout,
			MaxIdleConnsPerHost:   maxIdlePerUpstream,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true, // what the client did not ask for, the upstream is not asked for
		},
	}
	return h
}

type handler struct {
	door   *gate.Door
	config Config
	log    *slog.Logger
	proxy  *httputil.ReverseProxy
}

// buffers are reused for copying bodies.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[copyBuffer]byte); ok {
		return buffer[:]
	}
	return make([]byte, copyBuffer)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[copyBuffer]byte)(buffer)) }

// passed is the context key of what goes through the proxy beside the request, by value.
type passed struct{}

type passage struct {
	requestID string
	upstream  []httpwire.Header // to set in the upstream's request
	vary      string
	cors      []httpwire.Header // to set in the upstream's response, if it does not speak CORS
}

func passageOf(r *http.Request) passage {
	p, _ := r.Context().Value(passed{}).(passage)
	return p
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := gate.Request{
		Request: httpwire.NewRequest(r.Header, r.Method, r.Host, r.URL.EscapedPath(), r.URL.RawQuery),
		Client:  h.config.Clients.Seen(clientaddr.Peer(r.RemoteAddr), r.Header),
		ID:      httpwire.RequestID(r.Header[httpwire.HeaderRequestID]...),
	}
	request.TrustedProject = h.config.Project
	result := h.door.Decide(r.Context(), &request)
	if !result.Allowed() {
		w.Header().Set(httpwire.HeaderRequestID, request.ID)
		httpwire.NewDenial(result.Decision, &request.Request, result.RetryAfter).Write(w)
		return
	}
	ctx := context.WithValue(r.Context(), passed{}, passage{
		requestID: request.ID,
		upstream:  httpwire.UpstreamHeaders(result.Decision, request.ID),
		vary:      httpwire.Vary(&request.Request),
		cors:      httpwire.CORS(result.Decision, &request.Request),
	})
	h.proxy.ServeHTTP(&counted{ResponseWriter: w, sent: func(bytes int) { h.door.Sent(result.Group, bytes) }}, r.WithContext(ctx))
}

// counted counts the bytes of the body that the client takes, as it takes them.
type counted struct {
	http.ResponseWriter

	sent func(bytes int)
}

// Write implements http.ResponseWriter.
func (c *counted) Write(data []byte) (int, error) {
	n, err := c.ResponseWriter.Write(data)
	c.sent(n)
	return n, err
}

// Unwrap lets http.ResponseController flush and hijack.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// rewrite makes the upstream's request: the same target and Host, headers exchanged.
// Trailers are dropped, as nothing could be removed from them in time.
func (h *handler) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(h.config.Upstream)
	r.Out.URL.RawQuery = r.In.URL.RawQuery // what was decided on, not what ReverseProxy makes of it
	r.Out.Host = r.In.Host
	r.Out.Trailer = nil
	r.SetXForwarded()
	httpwire.Apply(r.Out.Header, h.config.KeepCredential, passageOf(r.In).upstream)
}

// modifyResponse replaces what the upstream says about the request. It is not set on the
// ResponseWriter, whose headers do not survive an informational response.
func modifyResponse(response *http.Response) error {
	p := passageOf(response.Request)
	p.mark(response.Header)
	return nil
}

// mark adds what an allowed request's answer has, from the upstream or in its place. An
// upstream that speaks CORS itself keeps its word.
func (p *passage) mark(header http.Header) {
	header.Set(httpwire.HeaderRequestID, p.requestID)
	if !varies(header, p.vary) {
		header.Add(httpwire.HeaderVary, p.vary)
	}
	if len(header[httpwire.HeaderAllowOrigin]) > 0 {
		return
	}
	header.Del("Access-Control-Allow-Credentials") // it was not meant for this origin
	for _, h := range p.cors {
		header.Set(h.Name, h.Value)
	}
}

func varies(header http.Header, on string) bool {
	for _, line := range header[httpwire.HeaderVary] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, on) {
				return true
			}
		}
	}
	return false
}

// upstreamFailed answers for an upstream that did not.
func (h *handler) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	p := passageOf(r)
	p.mark(w.Header())
	if r.Context().Err() != nil {
		h.log.Debug("client went away", "error", err)
		w.WriteHeader(http.StatusBadGateway) // nobody reads it
		return
	}
	h.log.Warn("upstream failed", "upstream", h.config.Upstream.Host, "error", err)
	problem := httpwire.NewProblem(http.StatusBadGateway, "upstream_failed", "Upstream failed",
		"The content server could not be reached or did not answer properly. Try again later.")
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		problem = httpwire.NewProblem(http.StatusGatewayTimeout, "upstream_timeout", "Upstream timed out",
			"The content server did not answer in time. Try again later.")
	}
	problem.Denial().Write(w)
}
