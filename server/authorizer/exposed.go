package authorizer

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
)

// newExposed returns the counter of keys in places that leak. Nothing is counted for keys in headers, so that usual requests
// cost nothing.
func newExposed() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_validator_exposed_keys_total",
		Help: "Requests with a key in the URL or in a subprotocol of a WebSocket, allowed or not, by integration and location.",
	}, []string{"integration", "location"})
}

func (i *Integration) noteExposed(in decision.Location) {
	if in == decision.InQuery {
		i.inQuery.Inc()
	} else {
		i.inProtocol.Inc()
	}
}

// Keys returns where keys are looked for.
func (i *Integration) Keys() *credential.Locations { return i.authorizer.keys }
