package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// running is a validator in front of an upstream whose responses say which client it got the address of.
func running(t *testing.T, args ...string) (*validator, keyformat.Key) {
	t.Helper()
	m, key := fakemanager.Start(t), fixture.Mint(t)
	reporting := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
	})
	v := start(t, configFor(t, m, append(args, "--upstream="+reporting)...))
	m.Next().Send(catchUp(key)) // it is ready before it acknowledges that
	return v, key
}

// session is a connection to the server, on which a test writes every byte.
type session struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, address net.Addr) *session {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &session{t, conn, bufio.NewReader(conn)}
}

// ask sends a text and reads one response. The status is 0 if the server closes the connection instead.
func (s *session) ask(text string) (status int, body string) {
	s.t.Helper()
	_, _ = io.WriteString(s.conn, text) // the server may close the connection before it has read all
	response, err := http.ReadResponse(s.in, nil)
	if err != nil {
		if os.IsTimeout(err) {
			s.t.Fatal("no response")
		}
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	content, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(content)
}

func request(key keyformat.Key, lines ...string) string {
	return "GET /x HTTP/1.1\r\nHost: h\r\nX-Api-Key: " + key.Reveal() + "\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

func TestHeaderLimit(t *testing.T) {
	for _, c := range []struct {
		args []string
		size int // of one header's value
		want int
	}{
		{nil, 64 << 10, 200},
		{nil, 68 << 10, 431},
		{nil, 1 << 20, 431},
		{[]string{"--max-header-bytes=8192"}, 8 << 10, 200},
		{[]string{"--max-header-bytes=8192"}, 12 << 10, 431},
	} {
		v, key := running(t, c.args...)
		s := dial(t, v.addresses.Proxy)
		status, body := s.ask(request(key, "X-Large: "+strings.Repeat("x", c.size)))
		if status != c.want || status == 431 && !strings.Contains(body, `"headers_too_large"`) {
			t.Errorf("%q, %d bytes: %d %s", c.args, c.size, status, body)
		}
		if again, _ := s.ask(request(key)); c.want == 431 && again != 0 {
			t.Errorf("%d after a refusal", again)
		}
	}
}

// TestHeadersWithoutEnd are refused when they are too large, without waiting until they are complete.
func TestHeadersWithoutEnd(t *testing.T) {
	v, _ := running(t)
	for _, endless := range []string{strings.Repeat("x", 70<<10), strings.Repeat("X-A: b\r\n", 10<<10)} {
		if status, _ := dial(t, v.addresses.Proxy).ask("GET /x HTTP/1.1\r\nHost: h\r\n" +
			endless); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", status)
		}
	}
}

// TestTimeouts lets one client send its headers slowly, and another one no second request.
func TestTimeouts(t *testing.T) {
	v, _ := running(t, "--read-header-timeout=50ms", "--idle-timeout=10m")
	if status, _ := dial(t, v.addresses.Proxy).ask("GET /x HTTP/1.1\r\nHost:"); status != 0 {
		t.Errorf("the response to half a header is %d", status)
	}
	quiet, key := running(t, "--idle-timeout=3s")
	s := dial(t, quiet.addresses.Proxy)
	if status, _ := s.ask(request(key)); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if n, err := s.in.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("an idle connection gets %v, %v", n, err)
	}
}

// TestNewConnectionsMayWait: proxies open connections before they need them, and would lose the request that they send when the server
// closes one.
func TestNewConnectionsMayWait(t *testing.T) {
	certFile, keyFile, roots := writeCertificate(t)
	secure := &tls.Config{RootCAs: roots, ServerName: certifiedName}
	for name, flags := range map[string][]string{"plain": nil, "tls": {"--tls-cert-file=" + certFile, "--tls-key-file=" + keyFile}} {
		connect := func(v *validator) *session {
			s := dial(t, v.addresses.Proxy)
			if flags == nil {
				return s
			}
			secured := tls.Client(s.conn, secure)
			if err := secured.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			return &session{t, secured, bufio.NewReader(secured)}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const headers = time.Second
			v, key := running(t, append(flags, "--read-header-timeout="+headers.String(), "--idle-timeout=10m")...)
			for text, want := range map[string]int{request(key): http.StatusOK, "GET /x HTTP/1.1\r\nHost:": 0} {
				s := connect(v)
				_ = s.conn.SetReadDeadline(time.Now().Add(2 * headers))
				if n, err := s.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("a new connection gets %d bytes, %v", n, err)
				}
				_ = s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if status, _ := s.ask(text); status != want {
					t.Errorf("the response to %.30q is %d, want %d", text, status, want)
				}
			}
			if flags != nil { // a handshake may take no longer than headers
				if n, err := dial(t, v.addresses.Proxy).in.ReadByte(); err == nil || os.IsTimeout(err) {
					t.Errorf("one without a handshake gets %v, %v", n, err)
				}
			}
			v, _ = running(t, append(flags, "--read-header-timeout=10m", "--idle-timeout=1s")...)
			if n, err := connect(v).in.ReadByte(); err == nil || os.IsTimeout(err) {
				t.Errorf("one that stays silent gets %v, %v", n, err)
			}
		})
	}
}

// TestMaxConnections: one more replaces one that has no request.
func TestMaxConnections(t *testing.T) {
	v, key := running(t, "--max-connections=1", "--idle-timeout=10m")
	for range 3 {
		first, second := dial(t, v.addresses.Proxy), dial(t, v.addresses.Proxy)
		if status, _ := second.ask(request(key)); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		if _, err := io.ReadAll(first.conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the first stays: %v", err)
		}
	}
}

func unhex(t *testing.T, text string) string {
	t.Helper()
	decoded, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded)
}

func TestProxyProtocol(t *testing.T) {
	const signature = "0D0A0D0A000D0A515549540A"
	trusting, key := running(t, "--proxy-protocol", "--trusted-proxies=127.0.0.0/8", "--max-failures-per-minute=1")
	hasty, _ := running(t, "--proxy-protocol", "--trusted-proxies=127.0.0.0/8", "--read-header-timeout=100ms")
	distrusting, other := running(t, "--proxy-protocol", "--trusted-proxies=10.0.0.0/8")
	v2 := unhex(t, signature+"21 11 000C C0000202 7F000001 1267 1F90")
	for _, c := range []struct {
		name, header string
		want         int
		client       string
	}{
		{"version 1", "PROXY TCP4 192.0.2.1 127.0.0.1 4711 8080\r\n", 200, "192.0.2.1 http"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::1 ::1 4711 8080\r\n", 200, "2001:db8::1 http"},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", 200, "127.0.0.1 http"},
		{"version 2", v2, 200, "192.0.2.2 http"},
		{"version 2, local", unhex(t, signature+"20 00 0000"), 200, "127.0.0.1 http"},
		{"none", "", 0, ""},
		{"no address", "PROXY TCP4 invalid 127.0.0.1 4711 8080\r\n", 0, ""},
		{"too long", "PROXY TCP4 " + strings.Repeat("1", 200), 0, ""},
		{"half of version 2", v2[:14], 0, ""},
		{"slow", "PROXY TCP4 192.", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, text := trusting, c.header
			if c.name == "slow" || strings.HasPrefix(c.name, "half") {
				at = hasty
			} else {
				text += request(key, "X-Forwarded-For: 198.51.100.7")
			}
			if status, body := dial(t, at.addresses.Proxy).ask(text); status != c.want || c.want != 0 &&
				!strings.HasSuffix(body, c.client) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if status, _ := dial(t, distrusting.addresses.Proxy).ask("PROXY TCP4 192.0.2.1 127.0.0.1 4711 8080\r\n" +
		request(other)); status != http.StatusBadRequest {
		t.Errorf("from an untrusted proxy: %d", status)
	}
	if status, body := dial(t, distrusting.addresses.Proxy).ask(request(other)); status != http.StatusOK || body != "127.0.0.1 http" {
		t.Errorf("without: %d %s", status, body)
	}
	const client, neighbour = "PROXY TCP4 192.0.2.9 127.0.0.1 4711 8080\r\n", "PROXY TCP4 192.0.2.10 127.0.0.1 4711 8080\r\n"
	for i, c := range []struct {
		header string
		want   int
	}{{client, 401}, {client, 429}, {neighbour, 401}} {
		if status, _ := dial(t, trusting.addresses.Proxy).ask(c.header + "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); status != c.want {
			t.Errorf("failure %d: %d, want %d", i, status, c.want)
		}
	}
}

// certifiedName is whom the certificate is for that writeCertificate writes.
const certifiedName = "keyward.example"

func writeCertificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	cert, key := fakemanager.NewPair(t, certifiedName)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, data := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return certFile, keyFile, roots
}

// TestTLS uses all integrations over TLS, with both versions of HTTP.
func TestTLS(t *testing.T) { bothPositions(t, testTLS) }

func testTLS(t *testing.T, flag string) {
	certFile, keyFile, roots := writeCertificate(t)
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	v, apiKey := running(t, flag, "--tls-cert-file="+certFile, "--tls-key-file="+keyFile)
	config := &tls.Config{RootCAs: roots, ServerName: certifiedName}
	for major := 1; major <= 2; major++ {
		transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: major == 2}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		for target, want := range map[string]string{
			"https://" + v.addresses.Proxy.String() + "/x":         "127.0.0.1 https",
			"https://" + v.addresses.HTTP.String() + "/v1/nothing": `"code":"path_unknown"`,
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Api-Key", apiKey.Reveal())
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || !strings.Contains(string(body), want) || response.ProtoMajor != major {
				t.Errorf("%s over HTTP/%d: %s", target, response.ProtoMajor, body)
			}
		}
	}
	conn, err := grpc.NewClient(v.addresses.GRPC.String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if response, err := authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{}); err != nil ||
		response.GetDeniedResponse() == nil {
		t.Errorf("gRPC: %v, %v", response, err)
	}
	if status, _ := dial(t, v.addresses.Proxy).ask(request(apiKey)); status == http.StatusOK {
		t.Error("plain HTTP is served, too")
	}
	if logs := v.logs.String(); strings.Contains(logs, base64.StdEncoding.EncodeToString(key)) || strings.Contains(logs, "PRIVATE") {
		t.Error("the log has a key")
	}
}
