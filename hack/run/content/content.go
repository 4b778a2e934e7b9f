// Package content is the sample content service behind the reverse proxy: scenes and their media, and the
// site of a tenant. It trusts the context that arrives in headers and shows it in its answers.
package content

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

const (
	contextPrefix = "X-Keyward-"

	// A media response is sent in parts, slowly enough to see it stream.
	mediaParts = 10
	mediaPause = 100 * time.Millisecond
)

// Handler serves the sample content and logs one line for each request.
func Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/scenes/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		answer(w, r, http.StatusOK, map[string]any{
			"scene": id,
			"media": []string{r.URL.Path + "/media/preview.txt"},
		})
	})
	mux.HandleFunc("GET /api/scenes/{id}/media/{file}", media)
	mux.HandleFunc("GET /tenant/{resource}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, map[string]any{"resource": r.PathValue("resource"), "siteId": r.URL.Query().Get("siteId")})
	})
	mux.HandleFunc("POST /tenant/checkout/sessions", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusCreated, map[string]any{"session": "cs_sample", "status": "open"})
	})
	mux.HandleFunc("POST /tenant/contact", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusAccepted, map[string]any{"status": "sent"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Info("request", "method", r.Method, "path", r.URL.Path, "context", received(r.Header))
		mux.ServeHTTP(w, r)
	})
}

// answer sends the content together with what the service knows about its caller.
func answer(w http.ResponseWriter, r *http.Request, status int, content map[string]any) {
	body, err := json.MarshalIndent(struct {
		Content           map[string]any    `json:"content"`
		Context           map[string]string `json:"context"`
		CredentialReached bool              `json:"credentialReached"`
	}{content, received(r.Header), carriesCredential(r.Header)}, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that has gone needs no response
}

// media streams: each part is sent as soon as it exists.
func media(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := http.NewResponseController(w)
	for part := range mediaParts {
		if _, err := fmt.Fprintf(w, "%s of %s, part %d of %d\n", r.PathValue("file"), r.PathValue("id"), part+1, mediaParts); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(mediaPause):
		}
	}
}

// received returns the context that came with a request.
func received(header http.Header) map[string]string {
	context := map[string]string{}
	for name, values := range header {
		if strings.HasPrefix(name, contextPrefix) {
			context[name] = strings.Join(values, ", ")
		}
	}
	return context
}

// carriesCredential reports whether the request still has an API key, which it should not have.
func carriesCredential(header http.Header) bool {
	return header.Get("Authorization") != "" || header.Get("X-Api-Key") != ""
}
