// Package jwks publishes the keys with which content servers verify principals: GET /.well-known/keyward/jwks.json returns
// them as a JWK Set (RFC 7517) to everybody who asks.
package jwks

import (
	"net/http"
	"strconv"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/principal"
)

// Register adds the path to a mux.
func Register(mux *http.ServeMux, signer *principal.Signer) {
	caching := "public, max-age=" + strconv.Itoa(int(principal.MaxAge/time.Second))
	mux.HandleFunc("GET "+adminv1.JWKSPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(httpapi.HeaderRequestID, httpapi.RequestID(r.Header[httpapi.HeaderRequestID]...))
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", caching)
		_, _ = w.Write(signer.Set()) // a client that has gone needs no response
	})
}
