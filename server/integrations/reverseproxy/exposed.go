package reverseproxy

import (
	"net/http"

	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// replaceExposed takes keys out of the headers of the upstream's request that are not for keys.
func replaceExposed(header http.Header, exposed *httpapi.Exposed) {
	if exposed.Referers != nil {
		header["Referer"] = exposed.Referers
	}
	for _, page := range exposed.Pages {
		header[page.Name] = page.Lines
	}
	switch offer := &exposed.Offer; {
	case !offer.Changed:
	case offer.Pass == "":
		delete(header, credential.HeaderWebSocketProtocol)
	default:
		header[credential.HeaderWebSocketProtocol] = []string{offer.Pass}
	}
}

// selectProtocol selects a subprotocol if the client has offered some and the upstream, which saw fewer of them, selects none.
func (p *passage) selectProtocol(response *http.Response) {
	if response.StatusCode == http.StatusSwitchingProtocols && p.exposed.Offer.Select != "" &&
		len(response.Header[credential.HeaderWebSocketProtocol]) == 0 {
		response.Header[credential.HeaderWebSocketProtocol] = []string{p.exposed.Offer.Select}
	}
}
