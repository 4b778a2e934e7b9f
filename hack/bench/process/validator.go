package process

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Validator is a running validation server.
type Validator struct {
	*Process
	addresses
}

// addresses are the addresses where it listens, as it logs them.
type addresses struct{ HTTP, GRPC, Admin, Proxy *net.TCPAddr }

// StartValidator runs a validation server and waits until it is ready. It returns how long that took.
func StartValidator(binary string, flags ...string) (*Validator, time.Duration, error) {
	begin := time.Now()
	p, err := Start(binary, append([]string{
		"--http-bind-address=127.0.0.1:0", "--grpc-bind-address=127.0.0.1:0", "--admin-bind-address=127.0.0.1:0",
		"--proxy-bind-address=127.0.0.1:0",
		"--instance=measured", "--shutdown-delay=0s",
	}, flags...)...)
	if err != nil {
		return nil, 0, err
	}
	v := &Validator{Process: p}
	line, err := p.Line(func(line string) bool { return strings.Contains(line, `"msg":"serving"`) })
	if err == nil {
		err = json.Unmarshal([]byte(line), &v.addresses)
	}
	for err == nil && !v.isReady() {
		if time.Since(begin) > patience {
			err = errors.New("the validation server does not get ready")
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		p.Kill()
		return nil, 0, err
	}
	return v, time.Since(begin), nil
}

// Metric returns the sum of a metric over all its labels.
func (v *Validator) Metric(name string) (sum float64, err error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+v.Admin.String()+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it is read
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") {
			continue
		}
		value, parseErr := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(strings.TrimSpace(line), ' ')+1:]), 64)
		sum, err = sum+value, errors.Join(err, parseErr)
	}
	return sum, err
}

func (v *Validator) isReady() bool {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+v.Admin.String()+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body) // only the status is of interest
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
