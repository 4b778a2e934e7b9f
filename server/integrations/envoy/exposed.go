package envoy

import (
	"strings"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// headerPath is the pseudo-header with the target. Envoy sends to the upstream what it is set to, and logs what it was.
const headerPath = ":path"

// replaceExposed takes keys out of what is not a header for keys.
func (r *reply) replaceExposed(exposed *httpapi.Exposed) {
	if exposed.Target != "" {
		r.set = append(r.set, httpapi.Header{Name: headerPath, Value: exposed.Target})
	}
	if exposed.Referers != nil {
		r.set = append(r.set, httpapi.Header{Name: "Referer", Value: strings.Join(exposed.Referers, ", ")})
	}
	for _, page := range exposed.Pages {
		r.set = append(r.set, httpapi.Header{Name: page.Name, Value: strings.Join(page.Lines, ", ")})
	}
	switch offer := &exposed.Offer; {
	case !offer.Changed:
	case offer.Pass == "":
		r.remove = append(r.remove, credential.HeaderWebSocketProtocol)
	default:
		r.set = append(r.set, httpapi.Header{Name: credential.HeaderWebSocketProtocol, Value: offer.Pass})
	}
}
