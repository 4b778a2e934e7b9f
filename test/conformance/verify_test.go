package conformance

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/httpapi"
)

func askVerify(t *testing.T, base string, e testRequest) outcome {
	t.Helper()
	path, query := httpapi.SplitTarget(e.target)
	return postVerify(t, base, e, map[string]any{"host": e.host, "path": path, "query": query})
}

func askVerifyURL(t *testing.T, base string, e testRequest) outcome {
	t.Helper()
	return postVerify(t, base, e, map[string]any{"url": "https://" + e.host + e.target})
}

// postVerify sends what an application would: the headers that concern the decision.
func postVerify(t *testing.T, base string, e testRequest, fields map[string]any) outcome {
	t.Helper()
	headers, ids := map[string][]string{}, []string(nil)
	for _, line := range e.lines {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Authorization", "X-Api-Key", "Origin", "Referer", "Sec-Fetch-Site", "Access-Control-Request-Method", "Access-Control-Request-Headers",
			"Sec-WebSocket-Protocol", otherKeyHeader:
			headers[name] = append(headers[name], value)
		case "X-Request-Id":
			ids = append(ids, value)
		}
	}
	if e.client != "" {
		fields["clientAddress"] = e.client
	}
	fields["requestId"] = strings.Join(ids, ", ")
	fields["method"], fields["headers"], fields["project"] = e.method, headers, e.project
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(base+"/v1/verify", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var verdict adminv1.Verdict
	if err := json.NewDecoder(response.Body).Decode(&verdict); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d: %v", response.StatusCode, err)
	}
	a := outcome{allowed: verdict.Allowed, status: verdict.Status, code: verdict.Code, isVerdict: true,
		requestID: verdict.RequestID, setsHeaders: true, headers: http.Header{}}
	for name, value := range verdict.ResponseHeaders {
		a.headers.Set(name, value)
	}
	if got := response.Header.Get("X-Request-Id"); got != verdict.RequestID {
		t.Errorf("the response has the id %q, the verdict %q", got, verdict.RequestID)
	}
	if (verdict.RetryAfter != 0) != waits(verdict.Status, verdict.Code) {
		t.Errorf("retry after %d", verdict.RetryAfter)
	}
	for name, value := range verdict.Headers {
		a.injected = append(a.injected, name+": "+value)
	}
	slices.Sort(a.injected)
	return a
}
