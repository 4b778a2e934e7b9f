package web

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// How people sign in.
const (
	byToken    = "token"
	byProvider = "provider"
	byLink     = "link"
)

// What becomes of an attempt to sign in.
const (
	signedIn    = "accepted"
	notBelieved = "refused"     // the token or the answer of the provider is not accepted
	tooOften    = "limited"     // too many attempts
	notKnown    = "unavailable" // nobody could be asked
)

// signIns counts attempts to sign in, and logs them if the configuration says so.
type signIns struct {
	log     *slog.Logger // nil: they are only counted
	address func(*http.Request) string
	count   *prometheus.CounterVec
}

func newSignIns(config *Config) (*signIns, error) {
	s := &signIns{
		address: func(r *http.Request) string {
			if address := config.Address(r); address.IsValid() {
				return address.Unmap().WithZone("").String()
			}
			return "unknown"
		},
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_console_sign_ins_total", Help: "Attempts to sign in to the console, by how and by result.",
		}, []string{"how", "result"}),
	}
	if config.LogSignIns {
		s.log = config.Log
	}
	if config.Registry != nil {
		return s, config.Registry.Register(s.count)
	}
	return s, nil
}

// saw records what became of an attempt. The name is whose credential was verified; empty if none was.
func (s *signIns) saw(r *http.Request, how, result, name string) {
	s.count.WithLabelValues(how, result).Inc()
	if s.log != nil {
		s.log.Info("sign-in", slog.String("how", how), slog.String("result", result), slog.String("person", name), slog.String("address", s.address(r)))
	}
}
