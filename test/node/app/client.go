package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// client reads the key before every request, as an app does that wants no restart when it changes.
type client struct {
	url     string
	keyFile string
}

// result is what became of a request.
type result struct {
	key     string
	status  int
	problem string // the code of a refusal, or an error of the connection
}

func (r result) lost() bool { return r.status != http.StatusOK }

func (r result) String() string { return fmt.Sprintf("status %d %s", r.status, r.problem) }

func (c *client) send(ctx context.Context, via *http.Client) result {
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return result{problem: err.Error()}
	}
	sent := result{key: string(bytes.TrimSpace(key))}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		sent.problem = err.Error()
		return sent
	}
	request.Header.Set("Authorization", "Bearer "+sent.key)
	response, err := via.Do(request)
	if err != nil {
		sent.problem = err.Error()
		return sent
	}
	defer func() { _ = response.Body.Close() }()
	sent.status = response.StatusCode
	body, err := io.ReadAll(response.Body)
	if err != nil {
		sent.status, sent.problem = 0, "while reading the response: "+err.Error()
		return sent
	}
	if sent.lost() {
		var problem struct {
			Code string `json:"code"`
		}
		_ = json.Unmarshal(body, &problem) // what is no problem document has no code
		sent.problem = problem.Code
	}
	return sent
}
