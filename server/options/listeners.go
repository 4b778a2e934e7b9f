package options

import (
	"errors"
	"flag"
	"time"
)

// Listeners is how the addresses are served, and what clients may do on connections before there is a request to decide
// on.
type Listeners struct {
	// FastPath lets the HTTP address respond to simple requests of proxies without net/http.
	FastPath bool

	// MaxHeaderBytes bounds the headers of a request; the request line and headers that proxies add may have 4 KiB more.
	MaxHeaderBytes    int
	ReadHeaderTimeout time.Duration // from the first byte of a request
	IdleTimeout       time.Duration // between requests, and before the first one
	MaxConnections    int           // of each listener; 0 is any number

	// ProxyProtocol is required on the reverse proxy's address from trusted proxies.
	ProxyProtocol bool

	// TLSCertFile and TLSKeyFile are PEM files for all integrations; both are "" without TLS.
	TLSCertFile, TLSKeyFile string
}

const (
	defaultHeaderBytes       = 64 << 10
	minHeaderBytes           = 4 << 10
	maxHeaderBytes           = 1 << 20
	defaultReadHeaderTimeout = 10 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
	defaultConnections       = 4096
)

func (l *Listeners) flags(flags *flag.FlagSet) {
	flags.BoolVar(&l.FastPath, "http-fast-path", true,
		"respond to simple requests of proxies at --http-bind-address while reading them, which halves their cost; "+
			"false: Go's HTTP server handles every request, with the same responses")
	flags.IntVar(&l.MaxHeaderBytes, "max-header-bytes", defaultHeaderBytes,
		"how many `bytes` of headers a request may have; the response to more is 431")
	duration(flags, &l.ReadHeaderTimeout, "read-header-timeout", defaultReadHeaderTimeout,
		"how `long` a client may take to send the headers of a request, or the body if the server itself responds (default 10s)")
	duration(flags, &l.IdleTimeout, "idle-timeout", defaultIdleTimeout, "how `long` a connection may be without a request (default 2m)")
	flags.IntVar(&l.MaxConnections, "max-connections", defaultConnections,
		"how `many` connections each address may have; a further one replaces the one that has waited for its client for "+
			"longest, and waits if there is none; 0 is any number")
	flags.BoolVar(&l.ProxyProtocol, "proxy-protocol", false,
		"require the PROXY protocol, version 1 or 2, from --trusted-proxies that connect to the reverse proxy; refuse it from others")
	flags.StringVar(&l.TLSCertFile, "tls-cert-file", "",
		"PEM `file` with the certificate of all integrations; it is read again when it changes; without it they use plain HTTP")
	flags.StringVar(&l.TLSKeyFile, "tls-key-file", "", "PEM `file` with the certificate's private key")
}

func (l *Listeners) check() error {
	switch {
	case l.MaxHeaderBytes < minHeaderBytes || l.MaxHeaderBytes > maxHeaderBytes:
		return errors.New("--max-header-bytes: write a number from 4096 to 1048576, such as 65536")
	case l.ReadHeaderTimeout == 0:
		return errors.New("--read-header-timeout: write a duration such as 10s; without one slow clients would hold connections forever")
	case l.IdleTimeout == 0:
		return errors.New("--idle-timeout: write a duration such as 2m; without one idle clients would hold connections forever")
	case l.MaxConnections < 0:
		return errors.New("--max-connections: write a number such as 10000, or 0 for any")
	case (l.TLSCertFile == "") != (l.TLSKeyFile == ""):
		return errors.New("--tls-cert-file: give --tls-key-file, too, or neither")
	default:
		return nil
	}
}
