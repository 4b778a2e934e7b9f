package verify

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// requestHeaders are the headers that a request may contain. Others are refused, since they would look as if they mattered.
func requestHeaders(keys *credential.Locations) []string {
	return append(keys.Headers(), httpapi.DecisionHeaders...)
}

// request converts it into a request for a decision. Fields that are missing are as in an HTTP request without them;
// the method and a target are required.
func (q *verifyRequest) request(keys *credential.Locations) (authorizer.Request, error) {
	if q.Method == "" {
		return authorizer.Request{}, errors.New("method: it is missing; write one such as GET")
	}
	host, path, rawQuery, err := q.target()
	if err != nil {
		return authorizer.Request{}, err
	}
	header, err := q.header(keys)
	if err != nil {
		return authorizer.Request{}, err
	}
	request := authorizer.Request{Request: httpapi.NewRequest(keys, header, q.Method, host, path, rawQuery)}
	if q.ClientAddress != "" {
		if request.Client = clientaddr.Read(q.ClientAddress); !request.Client.IsValid() {
			return authorizer.Request{}, errors.New("clientAddress: write an IP address such as 192.0.2.1")
		}
	}
	if q.RequestID != "" {
		request.ID = httpapi.RequestID(q.RequestID)
	}
	if q.Key != nil {
		given := credential.FromText(q.Key.Reveal())
		if found := request.Credential; found.Form != decision.Absent && found != given {
			given = decision.Credential{Form: decision.Malformed} // there is another one in the URL or among the subprotocols
		}
		request.Credential = given
	}
	request.TrustedProject = q.Project
	if q.Cost != nil {
		if *q.Cost < 0 || *q.Cost > quotaledger.MaxCost {
			return authorizer.Request{}, fmt.Errorf("cost: write a whole number from 0 to %d", quotaledger.MaxCost)
		}
		request.HasCost, request.Cost = true, uint32(*q.Cost)
	}
	return request, nil
}

// errUntrustedCost is for whoever could let requests count as nothing, or use up the quota of others.
var errUntrustedCost = errors.New("cost: only an application that the server trusts may say it; leave it out, or add its address to --trusted-proxies")

// target returns the parts of the URL as they were written: nothing is decoded, so that the decision sees what an HTTP
// server would see.
func (q *verifyRequest) target() (host, path, rawQuery string, err error) {
	if q.URL == "" {
		if q.Path == "" {
			return "", "", "", errors.New("path: it is missing; give url, or path with host and query")
		}
		if strings.ContainsAny(q.Path, "?#") {
			return "", "", "", errors.New("path: leave out what follows '?' or '#'; parameters go into query")
		}
		return q.Host, q.Path, strings.TrimPrefix(q.Query, "?"), nil
	}
	if q.Host != "" || q.Path != "" || q.Query != "" {
		return "", "", "", errors.New("url: give either url, or host, path and query")
	}
	scheme, rest, ok := strings.Cut(q.URL, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return "", "", "", errors.New("url: it must start with http:// or https://")
	}
	rest, _, _ = strings.Cut(rest, "#") // which clients never send
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host = rest[:end]
	if host == "" || strings.ContainsAny(host, `@\`) {
		return "", "", "", errors.New("url: it must have a host, and no user name")
	}
	path, rawQuery = httpapi.SplitTarget(rest[end:])
	if path == "" {
		path = "/"
	}
	return host, path, rawQuery, nil
}

// header collects the headers of the request, and the fields that are short forms of headers.
func (q *verifyRequest) header(keys *credential.Locations) (http.Header, error) {
	header, known := http.Header{}, requestHeaders(keys)
	for name, lines := range q.Headers {
		canonical := http.CanonicalHeaderKey(name)
		if !slices.Contains(known, canonical) {
			return nil, fmt.Errorf("headers: send only %s; other headers have no effect", strings.Join(known, ", "))
		}
		for _, line := range lines {
			header.Add(canonical, line.Reveal())
		}
	}
	carriesKey := func(name string) bool { return name != credential.HeaderWebSocketProtocol && len(header[name]) > 0 }
	if q.Key != nil && slices.ContainsFunc(keys.Headers(), carriesKey) {
		return nil, errors.New("key: give the key either here or in headers")
	}
	for name, value := range map[string]string{"Origin": q.Origin, "Referer": q.Referer} {
		if value == "" {
			continue
		}
		if len(header[name]) > 0 {
			return nil, fmt.Errorf("%s: give it either here or in headers", strings.ToLower(name))
		}
		header.Set(name, value)
	}
	return header, nil
}
