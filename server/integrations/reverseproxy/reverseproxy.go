// Package reverseproxy is the integration that is itself the proxy in front of one upstream. It streams in both
// directions, supports protocol upgrades such as WebSockets, and sends the upstream exactly the path that was decided
// on.
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

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
)

const (
	integrationName = "reverseproxy"

	// flushAfter is how long the beginning of a response of known length may wait for the rest, which saves a write in
	// most cases. Responses of unknown length, and events, never wait.
	flushAfter         = 5 * time.Millisecond
	copyBuffer         = 32 << 10 // bytes
	dialTimeout        = 5 * time.Second
	idleTimeout        = 90 * time.Second
	maxIdlePerUpstream = 256

	// expectTimeout is for upstreams that do not support Expect, and wait for the body.
	expectTimeout = time.Second

	// SchemeH2C in an upstream's URL means HTTP/2 in cleartext, by prior knowledge (RFC 9113, section 3.3).
	SchemeH2C = "h2c"

	headerConnection = "Connection"
	connectionClose  = "close"
)

// Config is where requests go.
type Config struct {
	// Upstream has a scheme, which is http, https or h2c, and a host, and no path.
	Upstream *url.URL
	// Timeout is how long the upstream may take to begin its response after it has received the request; 0 means
	// forever.
	Timeout time.Duration
	// Project is the trusted project of all requests, or "" if routes decide.
	Project string
	// Stripping is what is removed from requests to the upstream.
	Stripping httpapi.Stripping
	// Clients knows which proxies may be in front.
	Clients *clientaddr.Resolver
}

// New returns the proxy.
func New(auth *authorizer.Authorizer, config Config, log *slog.Logger) http.Handler {
	config.Stripping.Keys = auth.Keys()
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

// newTransport uses HTTP/1.1 to an upstream with the scheme http, HTTP/2 with h2c, and with https the one that the
// upstream prefers. It repeats a request only if the request has no body and an idempotent method (RFC 9110, section
// 9.2.2), or if nothing of it was sent.
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
		DisableCompression:    true, // the client has to ask for it
	}
}

var hostMalformed = httpapi.NewProblem(http.StatusBadRequest, "request_malformed", "Malformed request",
	"The host of the request must be a name or an address, with or without a port.")

type handler struct {
	integration *authorizer.Integration
	config      Config
	log         *slog.Logger
	proxy       *httputil.ReverseProxy
	target      url.URL // of the upstream, with a scheme that its transport knows
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

// passed is the context key of the *passage, which carries data through the proxy beside the request.
type passed struct{}

// passage is the context of a request that is allowed. Only its upstreamSpan changes.
type passage struct {
	context.Context

	requestID string
	target    target           // the one that was decided on
	upgrade   bool             // the client wants to change the protocol
	bodyEnded *atomic.Bool     // nil without a body, and in HTTP/2
	upstream  []httpapi.Header // to set in the upstream's request
	vary      string
	private   bool             // no shared cache may keep the response
	exposed   httpapi.Exposed  // what has a key, and is no header for keys
	inURL     bool             // there was a key or a token in the URL
	own       bool             // Authorization is for the upstream
	cors      []httpapi.Header // to set in the upstream's response unless it supports CORS itself
	rates     []httpapi.Header // to add to it
	retiring  []httpapi.Header // to set in it unless it speaks of its own content

	span, upstreamSpan tracing.Span // of the request, and of the one to the upstream, which rewrite sets
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
		Request: httpapi.NewRequest(h.integration.Keys(), r.Header, r.Method, r.Host, target.path, target.rawQuery),
		Client:  h.config.Clients.FromConnection(clientaddr.Peer(r.RemoteAddr), r.Header),
		ID:      httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...),
	}
	request.TrustedProject, request.NeedsHost = h.config.Project, true
	ctx, span := r.Context(), tracing.Span{}
	if h.integration.Traced() {
		trusted := h.config.Clients.Trusts(clientaddr.Peer(r.RemoteAddr))
		ctx, span = h.integration.Trace(ctx, r.Method, tracing.Parent{Headers: r.Header, Trusted: trusted})
		defer span.End()
	}
	result := h.integration.Decide(ctx, &request)
	if !result.Allowed() {
		w.Header().Set(httpapi.HeaderRequestID, request.ID)
		httpapi.CloseUnread(w.Header(), r)
		httpapi.NewDenial(result.Decision, &request.Request, result.RetryAfter).With(httpapi.RateLimit(result.Rates)...).Write(w)
		return
	}
	if !httpapi.IsHost(r.Host) { // net/http would send another one
		w.Header().Set(httpapi.HeaderRequestID, request.ID)
		httpapi.CloseUnread(w.Header(), r)
		hostMalformed.Denial().Write(w)
		return
	}
	w = http1.Stream(w, r)
	if target.rawQuery != request.RawQuery {
		target.rawQuery, target.emptyQuery = request.RawQuery, false
	}
	p := &passage{
		Context:   ctx,
		requestID: request.ID,
		span:      span,
		target:    target,
		upgrade:   httpapi.WantsUpgrade(r),
		upstream:  httpapi.UpstreamHeaders(result.Decision, h.integration.Principal(&result.Decision, request.ID), request.ID),
		vary:      httpapi.Vary(&request.Request),
		private:   !result.Shareable(),
		exposed:   httpapi.ExposedBy(h.integration.Keys(), r.Header, &request.Request, request.RawQuery),
		inURL:     request.Location.InURL(),
		own:       request.OwnAuthorization,
		cors:      httpapi.CORS(result.Decision, &request.Request),
		rates:     httpapi.RateLimit(result.Rates),
		retiring:  httpapi.Retirement(result.Decision, h.integration.Now),
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		p.bodyEnded = new(atomic.Bool)
		// Otherwise the first byte of the response would wait for the last byte of the request.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			h.log.Debug("cannot stream in both directions at once", slog.Any("error", err))
		}
	}
	response := &counted{ResponseWriter: w, integration: h.integration, group: result.Charged()}
	defer func() {
		p.upstreamSpan.End()
		if reason := recover(); reason != nil { // the response is cut off: bytes that were counted are sent nevertheless
			if response.begun { // otherwise Flush would begin it, as 200
				_ = http.NewResponseController(w).Flush() // the client may have gone
			}
			panic(reason)
		}
	}()
	h.proxy.ServeHTTP(response, r.WithContext(p))
}

// counted counts the bytes of the body as the client receives them.
type counted struct {
	http.ResponseWriter

	integration *authorizer.Integration
	group       *decision.Group // nil if nobody is charged
	begun       bool            // the final response
}

// Write implements http.ResponseWriter.
func (c *counted) Write(data []byte) (int, error) {
	c.begun = true
	n, err := c.ResponseWriter.Write(data)
	c.integration.Sent(c.group, n)
	return n, err
}

// Unwrap lets http.ResponseController flush and hijack.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// rewrite makes the upstream's request: with the same target and Host, and with other headers.
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
	passTrailers(r, h.config.Stripping.Keys)
	trusted := h.config.Clients.Trusts(clientaddr.Peer(r.In.RemoteAddr))
	h.config.Stripping.Strip(r.Out.Header, httpapi.Sender{Trusted: trusted, OwnAuthorization: p.own})
	replaceExposed(r.Out.Header, &p.exposed)
	h.setForwarded(r, trusted)
	httpapi.Set(r.Out.Header, p.upstream)
	if h.integration.Traced() {
		p.upstreamSpan = h.integration.TraceUpstream(p, r.Out.Header)
	}
}

// modifyResponse replaces what the upstream says about the request. The headers are not set on the ResponseWriter,
// whose headers do not survive an informational response.
func modifyResponse(response *http.Response) error {
	p := passageOf(response.Request)
	if err := checkStatus(response.StatusCode, p.upgrade); err != nil {
		return err
	}
	p.span.Respond(response.StatusCode)
	p.upstreamSpan.Respond(response.StatusCode)
	p.upstreamSpan.End()
	p.mark(response.Header)
	p.selectProtocol(response)
	if response.StatusCode != http.StatusSwitchingProtocols && (p.upgrade || p.bodyLeft()) {
		response.Header.Set(headerConnection, connectionClose)
	}
	filterTrailers(response)
	if len(response.Trailer) > 0 {
		response.Header.Del("Content-Length") // HTTP/1.1 allows no trailers with it
	}
	return nil
}

// bodyLeft reports whether the request's body has not been read to its end.
func (p *passage) bodyLeft() bool { return p.bodyEnded != nil && !p.bodyEnded.Load() }

// mark adds the headers of a response to an allowed request, which comes from the upstream or replaces it. An upstream
// that supports CORS itself decides who may read the response. Which headers may be read is a list, to which both add.
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
	if p.inURL && !httpapi.HasReferrerPolicy(header) {
		httpapi.Set(header, []httpapi.Header{httpapi.ReferrerPolicy})
	}
	for _, h := range p.rates { // they are lists: an upstream may have rate limits of its own
		header.Add(h.Name, h.Value)
	}
	if len(header[httpapi.HeaderDeprecation]) == 0 && len(header[httpapi.HeaderSunset]) == 0 {
		httpapi.Set(header, p.retiring)
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

// upstreamFailed responds instead of an upstream that failed.
func (h *handler) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	p := passageOf(r)
	p.upstreamSpan.Fail("no response")
	p.span.Fail("no response of the upstream")
	p.mark(w.Header())
	if p.upgrade || p.bodyLeft() {
		w.Header().Set(headerConnection, connectionClose)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, errClientBody):
		h.log.Debug("client sent an incomplete request", slog.Any("error", err))
		w.Header().Set(headerConnection, connectionClose)
		httpapi.NewProblem(http.StatusBadRequest, "request_malformed", "Malformed request",
			"The body of the request is not complete, or not encoded according to HTTP.").Denial().Write(w)
	case r.Context().Err() != nil:
		h.log.Debug("client went away", slog.Any("error", err))
		w.WriteHeader(http.StatusBadGateway) // nobody reads it
	case errors.As(err, &timeout) && timeout.Timeout():
		h.log.Warn("upstream timed out", slog.String("upstream", h.config.Upstream.Host), slog.Any("error", err))
		httpapi.NewProblem(http.StatusGatewayTimeout, "upstream_timeout", "Upstream timed out",
			"The content server did not respond in time. Try again later.").Denial().Write(w)
	default:
		h.log.Warn("upstream failed", slog.String("upstream", h.config.Upstream.Host), slog.Any("error", err))
		httpapi.NewProblem(http.StatusBadGateway, "upstream_failed", "Upstream failed",
			"The content server could not be reached, or its response was not valid. Try again later.").Denial().Write(w)
	}
}
