package reverseproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// TestNoSharedCacheKeepsResponses of any kind, unless the Group allows it; and all of them say what they depend on.
func TestNoSharedCacheKeepsResponses(t *testing.T) {
	upstream := func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header["Cache-Control"], header["Vary"] = []string{"public, max-age=60, s-maxage=3600"}, []string{"Accept-Encoding"}
		header["X-Accel-Expires"], header["Etag"] = []string{"3600"}, []string{`"a"`}
		header["Surrogate-Control"], header["Cdn-Cache-Control"] = []string{"max-age=3600"}, []string{"max-age=3600"}
		switch r.URL.Path {
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		case "/301":
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		case "/103":
			w.WriteHeader(http.StatusEarlyHints)
		}
	}
	const all = "Authorization, X-Api-Key, Origin, Referer, Sec-Fetch-Site"
	for name, c := range map[string]struct {
		caching syncv1.Caching
		want    string
	}{
		"private": {syncv1.Caching_CACHING_UNSPECIFIED, "private, max-age=60||||Accept-Encoding, " + all},
		"shared": {syncv1.Caching_CACHING_SHARED, "public, max-age=60, " +
			"s-maxage=3600|3600|max-age=3600|max-age=3600|Accept-Encoding, " + all},
		"unknown": {99, "private, max-age=60||||Accept-Encoding, " + all},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFor(t, upstream, Config{}, &syncv1.Group{Caching: c.caching})
			for _, line := range []string{"GET /200 HTTP/1.1", "GET /304 HTTP/1.1", "GET /404 HTTP/1.1", "GET /301 HTTP/1.1",
				"GET /103 HTTP/1.1", "HEAD /200 HTTP/1.1", "POST /200 HTTP/1.1", "GET /200 HTTP/1.0"} {
				status, header := rawly(t, f, line)
				var got []string
				for _, name := range []string{"Cache-Control", "X-Accel-Expires", "Surrogate-Control", "Cdn-Cache-Control", "Vary"} {
					got = append(got, strings.Join(header[name], ", "))
				}
				if strings.Join(got, "|") != c.want {
					t.Errorf("%s: %d %s, want %s", line, status, strings.Join(got, "|"), c.want)
				}
			}
		})
	}
	broken := startFor(t, nil, Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}},
		&syncv1.Group{Caching: syncv1.Caching_CACHING_SHARED})
	if status, header := rawly(t, broken, "GET /200 HTTP/1.1"); status != http.StatusBadGateway ||
		fmt.Sprint(header["Cache-Control"]) != "[no-store]" || fmt.Sprint(header["Vary"]) != "["+all+"]" {
		t.Errorf("%d %v", status, header)
	}
	broken.key = "none"
	if status, header := rawly(t, broken, "GET /200 HTTP/1.1"); status != http.StatusUnauthorized ||
		fmt.Sprint(header["Cache-Control"]) != "[no-store]" || fmt.Sprint(header["Vary"]) != "["+all+"]" {
		t.Errorf("%d %v", status, header)
	}
}

// rawly sends a request with this first line, and returns the headers of the final response.
func rawly(t *testing.T, f *front, line string) (status int, header http.Header) {
	t.Helper()
	conn, err := net.Dial("tcp", f.address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, line+"\r\nHost: h\r\nConnection: close\r\nX-Api-Key: "+f.key+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for {
		method, _, _ := strings.Cut(line, " ")
		response, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode >= http.StatusOK {
			return response.StatusCode, response.Header
		}
	}
}

// TestExposedHeadersAreMerged: the content server's and Keyward's.
func TestExposedHeadersAreMerged(t *testing.T) {
	const page, ours = "http://localhost:5173", "X-Request-Id, RateLimit, RateLimit-Policy, Content-Range, Accept-Ranges, " +
		"ETag, Content-Disposition"
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header()[name] = values
		}
	}, Config{})
	for target, want := range map[string]string{
		"/": ours,
		"/?Access-Control-Expose-Headers=X-Total-Count":                                     "X-Total-Count|" + ours,
		"/?Access-Control-Expose-Headers=a&Access-Control-Expose-Headers=b":                 "a|b|" + ours,
		"/?Access-Control-Expose-Headers=X-Total-Count&Access-Control-Allow-Origin=" + page: "X-Total-Count|" + ours,
	} {
		for _, origin := range []string{page, ""} {
			request := f.request(t.Context(), t, target)
			if origin != "" {
				request.Header.Set("Origin", origin)
			} else {
				want = strings.TrimSuffix(strings.TrimSuffix(want, ours), "|")
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if got := strings.Join(response.Header["Access-Control-Expose-Headers"], "|"); got != want {
				t.Errorf("%s, origin %q: %s, want %s", target, origin, got, want)
			}
		}
	}
}
