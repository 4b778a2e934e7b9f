package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Describe sends the descriptions of all metrics of the server, also of those that have no series yet.
func (s *Server) Describe(descs chan<- *prometheus.Desc) { s.registry.Describe(descs) }

var certificateDesc = prometheus.NewDesc("keyward_validator_certificate_expiration_timestamp_seconds",
	"When certificates end, in Unix time: integrations is the one of --tls-cert-file, authority is what --sync-ca-file trusts.",
	[]string{"certificate"}, nil)

// certificates is a prometheus.Collector for the ends of certificates. They are read at each scrape, because both files may be
// replaced while the server runs.
type certificates struct {
	own           *tls.Config // of the integrations; nil without TLS
	authorityFile string
}

// Describe implements prometheus.Collector.
func (c *certificates) Describe(to chan<- *prometheus.Desc) { to <- certificateDesc }

// Collect implements prometheus.Collector. A certificate that cannot be read has no series.
func (c *certificates) Collect(to chan<- prometheus.Metric) {
	emit := func(name string, ends time.Time) {
		to <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, float64(ends.Unix()), name)
	}
	if c.own != nil {
		if pair, err := c.own.GetCertificate(&tls.ClientHelloInfo{}); err == nil && pair.Leaf != nil {
			emit("integrations", pair.Leaf.NotAfter)
		}
	}
	if text, err := os.ReadFile(c.authorityFile); err == nil {
		if ends := lastEnd(text); !ends.IsZero() {
			emit("authority", ends)
		}
	}
}

// lastEnd returns when the last of the certificates in a PEM file ends: while an authority is replaced, the file has both.
func lastEnd(text []byte) (ends time.Time) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return ends
		}
		text = rest
		if authority, err := x509.ParseCertificate(block.Bytes); err == nil && authority.NotAfter.After(ends) {
			ends = authority.NotAfter
		}
	}
}
