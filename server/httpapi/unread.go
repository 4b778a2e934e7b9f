package httpapi

import "net/http"

// WantsUpgrade reports whether the client wants to change the protocol, also to an empty name: if one reader sees an
// upgrade and another none, they read differently what follows.
func WantsUpgrade(r *http.Request) bool {
	return r.ProtoMajor == 1 && len(r.Header[HeaderUpgrade]) > 0
}

// CloseUnread closes the connection of a client that gets a response without the content server, and may already have sent
// something that must not be read as a request: a body, or another protocol than HTTP. The header is the response's.
func CloseUnread(header http.Header, r *http.Request) {
	if WantsUpgrade(r) || r.ProtoMajor == 1 && r.ContentLength != 0 {
		header.Set("Connection", "close")
	}
}
