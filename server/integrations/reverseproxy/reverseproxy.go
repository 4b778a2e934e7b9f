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
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

const (
	integrationName = "reverseproxy"

	// flushAfter is how long the beginning of an answer of known length may wait for the rest,
	// which saves a write in most. Answers of unknown length, and events, never wait.
	flushAfter         = 5 * time.Millisecond
	copyBuffer         = 32 << 10 // bytes
	dialTimeout        = 5 * time.Second
	idleTimeout        = 90 * time.Second
	maxIdlePerUpstream = 256

	// expectTimeout is for upstreams that do not know Expect, and wait for the body.
	expectTimeout = time.Second

	// SchemeH2C in an upstream's URL is HTTP/2 in cleartext, by prior knowledge (RFC 9113,
	// section 3.3).
	SchemeH2C = "h2c"

	headerConnection = "Connection"
	connectionClose  = "close"
)

// Config says where requests go.
type Config struct {
	// Upstream has a scheme, which is http, https or h2c, and a host, and no path.
	Upstream *url.URL
	// Timeout is how long the upstream may take to begin its answer, once it has the request;
	// 0 is for ever.
	Timeout time.Duration
	// Project is the trusted project of all requests, or "" to ask the routes.
	Project string
	// Stripping is what the upstream does not see.
	Stripping httpapi.Stripping
	// Clients knows which proxies may stand in front.
	Clients *clientaddr.Resolver
}

// New returns the door.
func New(auth *authorizer.Authorizer, config Config, log *slog.Logger) http.Handler {
	h := &handler{integration: auth.Integration(integrationName), config: config, log: log}
	h.proxy = &httputil.ReverseProxy{
		Rewrite: h.rewrite,

		ModifyResponse: modifyResponse,
		ErrorHandler:   h.upstreamFailed,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		FlushInterval:  flushAfter,
		BufferPool:     &buffers{},
		Transport:      newTransport(config),
	}
	h.target = *config.Upstream
	if h.target.Scheme == SchemeH2C {
		h.target.Scheme = "http"
	}
	return h
}

// newTransport speaks HTTP/1.1 to an upstream with the scheme http, HTTP/2 with h2c, and
// with https whichever the upstream prefers. It repeats a request only if that has no body
// and an idempotent method (RFC 9110, section 9.2.2), or if nothing of it was sent.
func newTransport(config Config) *http.Transport {
	protocols := new(http.Protocols)
	switch config.Upstream.Scheme {
	case SchemeH2C:
		protocols.SetUnencryptedHTTP2(true)
	case "https":
		protocols.SetHTTP2(true)
		protocols.SetHTTP1(true)
	default:
		protocols.SetHTTP1(true)
	}
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		Protocols:             protocols,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: config.Timeout,
		ExpectContinueTimeout: expectTimeout,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   maxIdlePerUpstream,
		DisableCompression:    true, // what the client did not ask for, the upstream is not asked for
	}
}

var hostMalformed = httpapi.NewProblem(http.StatusBadRequest, "request_malformed", "Malformed request",
	"The host of the request must be a name or an address, with or without a port.")

type handler struct {
	integration *authorizer.Integration
	config      Config
	log         *slog.Logger
	proxy       *httputil.ReverseProxy
	target      url.URL // of the upstream, as its transport knows schemes
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

// passed is the context key of what goes through the proxy beside the request, a *passage.
type passed struct{}

// passage is the context of a request that is let through. It does not change.
type passage struct {
	context.Context

	requestID string
	target    target           // that was decided on
	upgrade   bool             // whether the client wants to change the protocol
	bodyEnded *atomic.Bool     // nil where there is no body, or in HTTP/2
	upstream  []httpapi.Header // to set in the upstream's request
	vary      string
	private   bool             // no shared cache may keep the answer
	cors      []httpapi.Header // to set in the upstream's response, if it does not speak CORS
	rates     []httpapi.Header // to add to it
}

// Value implements context.Context.
func (p *passage) Value(key any) any {
	if key == (passed{}) {
		return p
	}
	return p.Context.Value(key)
}

func passageOf(r *http.Request) *passage {
	if p, ok := r.Context().Value(passed{}).(*passage); ok {
		return p
	}
	return &passage{}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := targetOf(r)
	request := authorizer.Request{
		Request: httpapi.NewRequest(r.Header, r.Method, r.Host, target.path, target.rawQuery),
		Client:  h.config.Clients.FromConnection(clientaddr.Peer(r.RemoteAddr), r.Header),
		ID:      httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...),
	}
	request.TrustedProject, request.NeedsHost = h.config.Project, true
	result := h.integration.Decide(r.Context(), &request)
	if !result.Allowed() {
		w.Header().Set(httpapi.HeaderRequestID, request.ID)
		closeUnread(w.Header(), r)
		httpapi.NewDenial(result.Decision, &request.Request, result.RetryAfter).With(httpapi.RateLimit(result.Rates)...).Write(w)
		return
	}
	if !httpapi.IsHost(r.Host) { // it would arrive as another one
		w.Header().Set(httpapi.HeaderRequestID, request.ID)
		closeUnread(w.Header(), r)
		hostMalformed.Denial().Write(w)
		return
	}
	p := &passage{
		Context:   r.Context(),
		requestID: request.ID,
		target:    target,
		upgrade:   wantsUpgrade(r),
		upstream:  httpapi.UpstreamHeaders(result.Decision, request.ID),
		vary:      httpapi.Vary(&request.Request),
		private:   !result.Group.SharedCaching,
		cors:      httpapi.CORS(result.Decision, &request.Request),
		rates:     httpapi.RateLimit(result.Rates),
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		p.bodyEnded = new(atomic.Bool)
		// Or else the first byte of the answer would wait for the last of the request.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			h.log.Debug("streams one way at a time", slog.Any("error", err))
		}
	}
	defer func() {
		if reason := recover(); reason != nil { // cut off: what was counted goes out all the same
			_ = http.NewResponseController(w).Flush() // the client may be the one that has gone
			panic(reason)
		}
	}()
	h.proxy.ServeHTTP(&counted{w, h.integration, result.Group}, r.WithContext(p))
}

// counted counts the bytes of the body that the client takes, as it takes them.
type counted struct {
	http.ResponseWriter

	integration *authorizer.Integration
	group       *decision.Group
}

// Write implements http.ResponseWriter.
func (c *counted) Write(data []byte) (int, error) {
	n, err := c.ResponseWriter.Write(data)
	c.integration.Sent(c.group, n)
	return n, err
}

// Unwrap lets http.ResponseController flush and hijack.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// rewrite makes the upstream's request: the same target and Host, headers exchanged.
func (h *handler) rewrite(r *httputil.ProxyRequest) {
	p := passageOf(r.In)
	r.Out.URL = h.upstreamURL(p.target)
	r.Out.Host = r.In.Host
	if asked := r.In.Header[httpapi.HeaderUpgrade]; len(asked) != 1 || !strings.EqualFold(asked[0], httpapi.ProtocolWebSocket) {
		r.Out.Header.Del(httpapi.HeaderUpgrade)
		r.Out.Header.Del(headerConnection)
	}
	for _, name := range httpapi.Decisive {
		if lines, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = lines
		}
	}
	passTrailers(r)
	trusted := h.config.Clients.Trusts(clientaddr.Peer(r.In.RemoteAddr))
	h.config.Stripping.Strip(r.Out.Header, trusted)
	h.setForwarded(r, trusted)
	httpapi.Set(r.Out.Header, p.upstream)
}

// wantsUpgrade tells whether the client wants to change the protocol, be it to nothing: where
// one reader sees a wish and another none, what follows is not the same to both.
func wantsUpgrade(r *http.Request) bool {
	return r.ProtoMajor == 1 && len(r.Header[httpapi.HeaderUpgrade]) > 0
}

// closeUnread ends the connection of a client that is refused, and may have sent already what
// must not be taken for a request: a body, or another protocol than HTTP.
func closeUnread(header http.Header, r *http.Request) {
	if wantsUpgrade(r) || r.ProtoMajor == 1 && r.ContentLength != 0 {
		header.Set(headerConnection, connectionClose)
	}
}

// modifyResponse replaces what the upstream says about the request. It is not set on the
// ResponseWriter, whose headers do not survive an informational response.
func modifyResponse(response *http.Response) error {
	p := passageOf(response.Request)
	p.mark(response.Header)
	if response.StatusCode != http.StatusSwitchingProtocols && (p.upgrade || p.bodyLeft()) {
		response.Header.Set(headerConnection, connectionClose)
	}
	filterTrailers(response)
	if len(response.Trailer) > 0 {
		response.Header.Del("Content-Length") // in HTTP/1.1 there are no trailers beside it
	}
	return nil
}

// bodyLeft is whether the request's body has not come to its end.
func (p *passage) bodyLeft() bool { return p.bodyEnded != nil && !p.bodyEnded.Load() }

// mark adds what an allowed request's answer has, from the upstream or in its place. An
// upstream that speaks CORS itself keeps its word about who may read it; what may be read is a
// list, of both.
func (p *passage) mark(header http.Header) {
	for name := range header {
		if httpapi.IsReserved(name) {
			delete(header, name)
		}
	}
	header.Set(httpapi.HeaderRequestID, p.requestID)
	httpapi.AddVary(header, p.vary)
	if p.private {
		httpapi.Privatize(header)
	}
	for _, h := range p.rates { // they are lists: an upstream may have limits of its own
		header.Add(h.Name, h.Value)
	}
	theirs := len(header[httpapi.HeaderAllowOrigin]) > 0
	if !theirs {
		header.Del("Access-Control-Allow-Credentials") // it was not meant for this origin
	}
	for _, h := range p.cors {
		switch {
		case h.Name == httpapi.HeaderExposeHeaders:
			header.Add(h.Name, h.Value)
		case !theirs:
			header.Set(h.Name, h.Value)
		}
	}
}

// upstreamFailed answers for an upstream that did not.
func (h *handler) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	p := passageOf(r)
	p.mark(w.Header())
	if p.upgrade || p.bodyLeft() {
		w.Header().Set(headerConnection, connectionClose)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, errClientBody):
		h.log.Debug("client sent half a request", slog.Any("error", err))
		w.Header().Set(headerConnection, connectionClose)
		httpapi.NewProblem(http.StatusBadRequest, "request_malformed", "Malformed request",
			"The body of the request is not complete, or not encoded as HTTP wants it.").Denial().Write(w)
	case r.Context().Err() != nil:
		h.log.Debug("client went away", slog.Any("error", err))
		w.WriteHeader(http.StatusBadGateway) // nobody reads it
	case errors.As(err, &timeout) && timeout.Timeout():
		h.log.Warn("upstream timed out", slog.String("upstream", h.config.Upstream.Host), slog.Any("error", err))
		httpapi.NewProblem(http.StatusGatewayTimeout, "upstream_timeout", "Upstream timed out",
			"The content server did not answer in time. Try again later.").Denial().Write(w)
	default:
		h.log.Warn("upstream failed", slog.String("upstream", h.config.Upstream.Host), slog.Any("error", err))
		httpapi.NewProblem(http.StatusBadGateway, "upstream_failed", "Upstream failed",
			"The content server could not be reached or did not answer properly. Try again later.").Denial().Write(w)
	}
}
