package sender

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/egress"
)

const maxErrText = 300

// failed returns the failure of a request to a host without a response. Its text has no part of the URL, which may contain a token, in the
// name of the host too, and nothing of what was answered.
func failed(err error, host string) *sinks.Failure {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	failure := &sinks.Failure{Reason: sinks.ReasonConnection, Err: err}
	if text := textOf(err, host); text != err.Error() {
		failure.Err = errors.New(text)
	}
	var (
		forbidden   *egress.ForbiddenError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		authority   x509.UnknownAuthorityError
		timeout     interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &forbidden):
		failure.Reason = sinks.ReasonAddress
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &authority):
		failure.Reason = sinks.ReasonTLS
	case errors.As(err, &timeout) && timeout.Timeout():
		failure.Reason = sinks.ReasonTimeout
	}
	return failure
}

// textOf returns what may be shown of an error.
func textOf(err error, host string) string {
	var (
		name  *net.DNSError
		other x509.HostnameError
		text  string
	)
	switch {
	case errors.As(err, &name):
		text = "the name of the receiver cannot be resolved: " + name.Err
	case errors.As(err, &other):
		text = "the certificate of the receiver is for other names than that of the sink"
	case malformed(err):
		text = "the receiver does not answer as HTTP demands"
	default:
		text = err.Error()
	}
	if net.ParseIP(host) == nil {
		text = without(text, host)
	}
	if len(text) > maxErrText {
		text = strings.ToValidUTF8(text[:maxErrText], "") + "…"
	}
	return text
}

// malformed reports whether a response was not understood: the texts of such errors, which have no types, have parts of it.
func malformed(err error) bool {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "transport connection broken") || strings.Contains(text, "malformed")
}

// without replaces the name of a host in a text, in any case.
func without(text, host string) string {
	if host = strings.TrimSuffix(host, "."); host == "" {
		return text
	}
	return regexp.MustCompile(`(?i)\b`+regexp.QuoteMeta(host)+`\b`).ReplaceAllLiteralString(text, "HOST")
}
