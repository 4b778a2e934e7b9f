package gateways

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// roundTripHTTP2 sends a request as HTTP/2, whose fields may have any bytes in them, and returns the status. A stream
// or connection that is refused has the status 0.
func roundTripHTTP2(ctx context.Context, address, key string, s *spelling) (int, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return 0, err
	}
	host := s.Host
	if host == "" {
		host = websiteHost
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", s.method()}, {":scheme", "http"}, {":authority", host}, {":path", s.Target},
		{"x-api-key", key}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return 0, err
		}
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return 0, err
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := errors.Join(framer.WriteSettings(), framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1,
		BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})); err != nil {
		return 0, err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return 0, err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return strconv.Atoi(f.PseudoValue("status"))
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return 0, nil
		}
	}
}

// TestReadersAgreeInHTTP2 is about the reverse proxy, where the protocol itself refuses fewer bytes.
func TestReadersAgreeInHTTP2(t *testing.T) {
	c := newComparison(t, minding(startReaders(t)))
	defer stillThere(t, c.readers)
	address := startProxy(t, c.world)
	for _, s := range corpus(t) {
		if len(s.Headers) > 0 || len(s.Target) > 8<<10 {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			status, err := roundTripHTTP2(t.Context(), address, c.key, &s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.judge(t.Context(), status)
			if err != nil {
				t.Fatal(err)
			}
			for _, difference := range got.differences {
				t.Error(difference)
			}
			if s.Allowed != "" && s.Target[0] == '/' && (!got.passed || got.project != s.Allowed) {
				t.Errorf("the response is %d, for the project %q, want it allowed for %s", got.status, got.project, s.Allowed)
			}
		})
	}
}
