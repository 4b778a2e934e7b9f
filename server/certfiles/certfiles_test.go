package certfiles

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/fakemanager"
)

// volume is a directory as the kubelet writes it: a change of one symbolic link changes all files at once.
type volume struct {
	t       *testing.T
	dir     string
	version string
}

func (v *volume) write(cert, key []byte) {
	v.t.Helper()
	next, err := os.MkdirTemp(v.dir, "..")
	if err != nil {
		v.t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(next, name), data, 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
	link := filepath.Join(v.dir, "link")
	if err := os.Symlink(next, link); err != nil {
		v.t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(v.dir, "..data")); err != nil {
		v.t.Fatal(err)
	}
	if v.version != "" {
		if err := os.RemoveAll(v.version); err != nil {
			v.t.Fatal(err)
		}
	}
	v.version = next
}

// served is the serial number of the certificate that a client sees.
func served(t *testing.T, config *tls.Config, version uint16) (serial, protocol string) {
	t.Helper()
	here, there := net.Pipe()
	defer func() { _ = here.Close() }()
	server := tls.Server(there, config)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	client := tls.Client(here, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS10,
		MaxVersion: version})
	if err := client.Handshake(); err != nil {
		return err.Error(), ""
	}
	state := client.ConnectionState()
	return state.PeerCertificates[0].SerialNumber.String(), state.NegotiatedProtocol
}

func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	v := &volume{t: t, dir: dir}
	one, oneKey := fakemanager.NewPair(t, "one.example")
	two, twoKey := fakemanager.NewPair(t, "two.example")
	v.write(one, oneKey)
	var logs bytes.Buffer
	p := &pair{certFile: filepath.Join(dir, "..data", "tls.crt"), keyFile: filepath.Join(dir, "..data", "tls.key"),
		log: slog.New(slog.NewTextHandler(&logs, nil))}
	now := time.Now()
	p.now = func() time.Time { return now }
	if err := p.read(); err != nil {
		t.Fatal(err)
	}
	config := p.config()
	see := func(what string) string {
		now = now.Add(recheck)
		serial, protocol := served(t, config, tls.VersionTLS13)
		if protocol != "h2" {
			t.Errorf("%s: protocol %q, %s", what, protocol, serial)
		}
		return serial
	}
	first := see("at first")
	if again := see("unchanged"); again != first {
		t.Error("it has changed on its own")
	}
	v.write(two, twoKey)
	second := see("renewed")
	if second == first {
		t.Error("the new certificate is not served")
	}
	if !strings.Contains(logs.String(), "new certificate") {
		t.Errorf("log: %s", &logs)
	}
	for what, pair := range map[string][2][]byte{"mismatched": {one, twoKey}, "garbage": {[]byte("x"), []byte("y")}, "empty": {nil, nil}} {
		logs.Reset()
		v.write(pair[0], pair[1])
		for range 2 {
			if see(what) != second {
				t.Errorf("%s: the last good one is not served", what)
			}
		}
		if strings.Count(logs.String(), "continuing with the last") != 1 {
			t.Errorf("%s: log: %s", what, &logs)
		}
	}
	v.write(one, oneKey)
	if see("good again") != first {
		t.Error("it does not recover")
	}
	if strings.Contains(logs.String(), "PRIVATE") {
		t.Error("the log has a key")
	}
}

func TestOldVersionsAndBadFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := fakemanager.NewPair(t, "one.example")
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	log := slog.New(slog.DiscardHandler)
	if _, err := Config(certFile, keyFile, log); err == nil {
		t.Error("no files are no error")
	}
	for name, data := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := Config(certFile, keyFile, log)
	if err != nil {
		t.Fatal(err)
	}
	if serial, _ := served(t, config, tls.VersionTLS11); !strings.Contains(serial, "version") {
		t.Errorf("TLS 1.1: %s", serial)
	}
	if _, protocol := served(t, config, tls.VersionTLS12); protocol != "h2" {
		t.Error("no TLS 1.2")
	}
	if _, err := Config(keyFile, certFile, log); err == nil {
		t.Error("a key for a certificate is no error")
	}
}
