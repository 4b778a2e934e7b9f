package hostile

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// patience is how long a client waits for a response.
const patience = 10 * time.Second

// Client is a client with one connection, which it opens again if it is closed.
type Client struct {
	address string
	from    net.Addr // nil for any
	conn    net.Conn
	answers *bufio.Reader
}

// NewClient connects with its first request.
func NewClient(address string) *Client { return &Client{address: address} }

// NewClientFrom returns a client with its own loopback address, of that number.
func NewClientFrom(address string, number int) *Client {
	return &Client{address: address, from: &net.TCPAddr{IP: net.IPv4(127, 1, byte(number>>8), byte(number))}}
}

// Ask sends a request unchanged, and returns the status of the response.
func (c *Client) Ask(ctx context.Context, raw []byte) (int, error) {
	for {
		used := c.conn != nil
		if !used {
			conn, err := (&net.Dialer{LocalAddr: c.from}).DialContext(ctx, "tcp", c.address)
			if err != nil {
				return 0, err
			}
			c.conn, c.answers = conn, bufio.NewReader(conn)
		}
		status, closed, err := c.roundTrip(raw)
		if err != nil || closed {
			c.Close()
		}
		if err != nil && used && ctx.Err() == nil && !isTimeout(err) {
			continue // it may have been closed in the meantime
		}
		return status, err
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // it is what the connection returns
	return ok && timeout.Timeout()
}

func (c *Client) roundTrip(raw []byte) (status int, closed bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, true, err
	}
	if _, err := c.conn.Write(raw); err != nil {
		return 0, true, err
	}
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return 0, true, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close() // it is read
	return response.StatusCode, response.Close, err
}

// Close ends the connection.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// GoodRequest is what a good client sends.
func (k *Known) GoodRequest() []byte {
	return []byte("GET " + GoodPath + " HTTP/1.1\r\nHost: " + GoodHost + "\r\nX-Api-Key: " + k.Good + "\r\n\r\n")
}

// Preflight is a preflight for the target, which carries no key.
func Preflight(target, origin string) []byte {
	return []byte("OPTIONS " + target + " HTTP/1.1\r\nHost: h.example\r\nOrigin: " + origin +
		"\r\nAccess-Control-Request-Method: PATCH\r\n\r\n")
}

// Keyless is a request without a key, from a page that needs to read why it is denied.
func Keyless(target, origin string) []byte {
	return []byte("GET " + target + " HTTP/1.1\r\nHost: h.example\r\nOrigin: " + origin + "\r\n\r\n")
}

// FromElsewhere is the same request from a page that no Group allows, so that it needs no search.
func FromElsewhere(raw []byte) []byte {
	return regexp.MustCompile("\r\nOrigin: [^\r]*").ReplaceAll(raw, []byte("\r\nOrigin: https://elsewhere.example"))
}

// Junk is a request with a token that is not a key, or with a well-formed one that does not exist.
func Junk(wellFormed bool, origin string, source *rand.ChaCha8) ([]byte, error) {
	token := fmt.Sprintf("junk-%x", source.Uint64())
	if wellFormed {
		key, err := keyformat.Mint("kw", source)
		if err != nil {
			return nil, err
		}
		token = key.Reveal()
	}
	return []byte("GET " + GoodPath + " HTTP/1.1\r\nHost: " + GoodHost + "\r\nAuthorization: Bearer " + token +
		"\r\nOrigin: " + origin + "\r\n\r\n"), nil
}
