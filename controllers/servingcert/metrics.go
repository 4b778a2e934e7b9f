package servingcert

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/controllers/scrape"
)

var expirationDesc = prometheus.NewDesc("keyward_certificate_expiration_timestamp_seconds",
	"When the manager's certificates end, in Unix time: serving is for webhooks and the sync port, authority is what clients trust.",
	[]string{"certificate"}, nil)

// collector has what this process serves: what was issued and has not arrived here is as old as what was not renewed.
var collector = scrape.NewCurrent((*Certificate).scrape, expirationDesc)

func (c *Certificate) scrape(all chan<- prometheus.Metric) {
	emit := scrape.Gauges(all)
	if pair, err := c.Get(&tls.ClientHelloInfo{}); err == nil && pair.Leaf != nil {
		emit(expirationDesc, float64(pair.Leaf.NotAfter.Unix()), "serving")
	}
	if ends := lastEnd(c.authorities()); !ends.IsZero() {
		emit(expirationDesc, float64(ends.Unix()), "authority")
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
