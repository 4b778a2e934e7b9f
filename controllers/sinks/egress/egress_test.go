package egress_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/controllers/sinks/egress"
)

func TestPolicy(t *testing.T) {
	for address, allowed := range map[string]bool{
		"93.184.215.14": true, "2606:2800:21f:cb07:6820:80da:af6b:8b2c": true, "64:ff9b::5db8:d70e": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false, "0.0.0.0": false, "::": false,
		"10.1.2.3": false, "172.31.255.255": false, "192.168.0.1": false, "100.64.0.1": false, "fd12::1": false, "::ffff:10.0.0.1": false,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fd00:ec2::254": false,
		"168.63.129.16": false, "100.100.100.200": false, "192.0.0.192": false, "64:ff9b::a9fe:a9fe": false, "2002:a9fe:a9fe::1": false,
		"64:ff9b:1::a9fe:a9fe": false, "2001:0:1::1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "ff02::1": false,
		"172.32.0.1": true, "11.0.0.1": true, "169.253.0.1": true, "2002:5db8:d70e::1": true,
	} {
		err := new(egress.Policy).Check(netip.MustParseAddr(address))
		if (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
		var forbidden *egress.ForbiddenError
		if err != nil && !errors.As(err, &forbidden) {
			t.Errorf("%s: %T", address, err)
		}
	}
}

func TestAllowedNetworks(t *testing.T) {
	for _, test := range []struct {
		network, address string
		plain, allowed   bool
	}{
		{"10.0.0.0/8", "10.1.1.1", false, true},
		{"10.0.0.0/8", "10.1.1.1", true, true},
		{"10.0.0.0/8", "::ffff:10.1.1.1", false, true},
		{"10.0.0.0/8", "192.168.1.1", false, false},
		{"10.0.0.0/8", "93.184.215.14", false, true},
		{"10.0.0.0/8", "93.184.215.14", true, false},
		{"127.0.0.1/32", "127.0.0.1", true, true},
		{"127.0.0.1/32", "127.0.0.2", true, false},
		{"169.0.0.0/8", "169.254.169.254", false, false},
		{"168.0.0.0/8", "168.63.129.16", false, false},
		{"100.64.0.0/10", "100.100.100.200", false, false},
		{"100.64.0.0/10", "100.100.100.201", false, true},
		{"fd00::/8", "fd12::1", false, true},
		{"fd00::/8", "fd00:ec2::254", false, false},
		{"169.254.0.0/16", "169.254.169.254", false, true},
		{"169.254.169.254/32", "169.254.169.254", false, true},
	} {
		policy := egress.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix(test.network)}, OnlyAllowed: test.plain}
		if err := policy.Check(netip.MustParseAddr(test.address)); (err == nil) != test.allowed {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestTheResolvedAddressIsChecked: a name may resolve to anything, and to something else the next time.
func TestTheResolvedAddressIsChecked(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + net.JoinHostPort("localhost", port) // localhost is 127.0.0.1, and may be ::1
	get := func(allowed ...netip.Prefix) error {
		client, err := egress.NewClient(egress.Options{Policy: egress.Policy{Allowed: allowed}, Timeout: 10 * time.Second, Connections: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer client.CloseIdleConnections()
		response, err := client.Get(url)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	var forbidden *egress.ForbiddenError
	if err := get(); !errors.As(err, &forbidden) || reached {
		t.Errorf("%v, reached %v", err, reached)
	}
	if err := get(netip.MustParsePrefix("127.0.0.0/8")); err != nil || !reached {
		t.Errorf("%v, reached %v", err, reached)
	}
}

// TestNoProxyAndNoRedirect: either would connect to an address that was not checked.
func TestNoProxyAndNoRedirect(t *testing.T) {
	var redirected bool
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected = true }))
	defer target.Close()
	server := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	client, err := egress.NewClient(egress.Options{Policy: egress.Policy{Allowed: loopback}, Timeout: 10 * time.Second, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusTemporaryRedirect || redirected {
		t.Errorf("%s, redirected %v", response.Status, redirected)
	}
	// The proxy of the environment is never asked for a server of this machine, so that a request would not show it.
	if transport, ok := client.Transport.(*http.Transport); !ok || transport.Proxy != nil {
		t.Error("it uses a proxy")
	}
}

func TestAuthorities(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	get := func(caFile, serverName string) error {
		client, err := egress.NewClient(egress.Options{
			Policy: egress.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, CAFile: caFile, ServerName: serverName,
			Timeout: 10 * time.Second, Connections: 1,
		})
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		response, err := client.Get(server.URL)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	if err := get(file, ""); err != nil {
		t.Error(err)
	}
	if err := get(file, "example.com"); err != nil {
		t.Error(err)
	}
	if get("", "") == nil || get(file, "receiver.example.org") == nil || get("/nowhere", "") == nil || get(os.Args[0], "") == nil {
		t.Error("a certificate that is not to be trusted is accepted")
	}
}
