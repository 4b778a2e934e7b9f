package sealedcontext_test

import (
	"net/http"

	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

// charge answers requests with the payment key of the Group that they are for.
func charge(directory string, pay func(w http.ResponseWriter, r *http.Request, key string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ring, err := sealedcontext.ReadRing(directory) // small files, which change when keys are rotated
		if err != nil {
			http.Error(w, "no keys", http.StatusInternalServerError)
			return
		}
		key, err := ring.OpenHeader(r.Header, "paymentKey")
		if err != nil {
			http.Error(w, "no payment key", http.StatusBadGateway)
			return
		}
		pay(w, r, string(key))
	}
}
