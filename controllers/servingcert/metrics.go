package servingcert

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var expirationDesc = prometheus.NewDesc("keyward_certificate_expiration_timestamp_seconds",
	"When the manager's certificates end, in Unix time: serving is for webhooks and the sync port, authority is what clients trust.",
	[]string{"certificate"}, nil)

// expiration is registered once, and collects from the Certificate of this process. It has what is served: what was issued and has
// not arrived here is as old as what was not renewed.
type expiration struct{ certificate atomic.Pointer[Certificate] }

var collector = &expiration{}

// Describe implements prometheus.Collector.
func (e *expiration) Describe(descs chan<- *prometheus.Desc) { descs <- expirationDesc }

// Collect implements prometheus.Collector.
func (e *expiration) Collect(all chan<- prometheus.Metric) {
	c := e.certificate.Load()
	if c == nil {
		return
	}
	emit := func(name string, ends time.Time) {
		all <- prometheus.MustNewConstMetric(expirationDesc, prometheus.GaugeValue, float64(ends.Unix()), name)
	}
	if pair, err := c.Get(&tls.ClientHelloInfo{}); err == nil && pair.Leaf != nil {
		emit("serving", pair.Leaf.NotAfter)
	}
	if ends := lastEnd(c.authorities()); !ends.IsZero() {
		emit("authority", ends)
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

func init() { metrics.Registry.MustRegister(collector) }
