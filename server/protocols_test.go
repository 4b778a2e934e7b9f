package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestWebSocketIsNotReadAsHTTP sends bytes that would be no request, through a listener that reads requests strictly.
func TestWebSocketIsNotReadAsHTTP(t *testing.T) {
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--upstream="+upstream(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.CloseNow() }()
		kind, message, err := conn.Read(r.Context())
		if err == nil {
			err = conn.Write(r.Context(), kind, message)
		}
		if err != nil {
			t.Error(err)
		}
	})))
	m.Next().Send(catchUp(key))
	waitFor(t, "it is ready", func() bool { code, _ := get(t, v.addresses.Admin, "/readyz", ""); return code == http.StatusOK })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	options := &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {key.Reveal()}}}
	conn, _, err := websocket.Dial(ctx, "ws://"+v.addresses.Proxy.String()+"/ws", options) //nolint:bodyclose // the connection is the body
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	message := []byte("\n\nGET / HTTP/1.1\n \x00\n" + strings.Repeat("x", 4096))
	if err := conn.Write(ctx, websocket.MessageBinary, message); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(ctx); err != nil || !bytes.Equal(got, message) {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(message), err)
	}
}

// TestGRPC puts the proxy between a real client and a real server: one response, a stream, an error in trailers, and a
// denial.
func TestGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	states, server := health.NewServer(), grpc.NewServer()
	healthv1.RegisterHealthServer(server, states)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--upstream=h2c://"+listener.Addr().String()))
	update := catchUp(key)
	update.Groups[0].Capabilities = []*syncv1.Capability{{Name: "health",
		Routes: []*syncv1.Route{{Methods: []string{http.MethodPost}, Paths: []string{"/grpc.health.v1.Health/*"}}}}}
	update.Keys[0].Permissions = append(update.Keys[0].Permissions, "health")
	m.Next().Send(update)
	waitFor(t, "it is ready", func() bool { code, _ := get(t, v.addresses.Admin, "/readyz", ""); return code == http.StatusOK })

	conn, err := grpc.NewClient(v.addresses.Proxy.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	client := healthv1.NewHealthClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	allowed := metadata.AppendToOutgoingContext(ctx, "x-api-key", key.Reveal())
	if response, err := client.Check(allowed, &healthv1.HealthCheckRequest{}); err != nil ||
		response.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("one response: %v, %v", response, err)
	}
	if _, err := client.Check(allowed, &healthv1.HealthCheckRequest{Service: "nope"}); status.Code(err) != codes.NotFound {
		t.Errorf("an error: %v", err)
	}
	if _, err := client.Check(ctx, &healthv1.HealthCheckRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a denial: %v", err)
	}
	stream, err := client.Watch(allowed, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthv1.HealthCheckResponse_ServingStatus{healthv1.HealthCheckResponse_SERVING,
		healthv1.HealthCheckResponse_NOT_SERVING, healthv1.HealthCheckResponse_SERVING} {
		states.SetServingStatus("", want)
		if response, err := stream.Recv(); err != nil || response.GetStatus() != want {
			t.Fatalf("a stream: %v, %v", response, err)
		}
	}
}
