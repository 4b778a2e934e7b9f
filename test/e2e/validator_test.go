package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/hack/run/mounts"
)

// validator is a running validation server.
type validator struct {
	*process
	world    *world
	setup    validatorSetup
	listens  listens
	requests *http.Client
}

// validatorSetup says how a validation server is started; only its name is required.
type validatorSetup struct {
	instance string
	binary   string // another than the one as shipped
	upstream string
	flags    []string
	// token is the token of another ServiceAccount than the shipped one.
	token *mounts.Token
}

// listens has addresses, as they are in the log.
type listens struct{ HTTP, GRPC, Admin, Proxy *net.TCPAddr }

func (a *listens) read(log string) error {
	data, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		var entry struct {
			Msg string `json:"msg"`
			listens
		}
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "serving" {
			*a = entry.listens
			return nil
		}
	}
	return errors.New("it does not serve yet")
}

// startValidator starts a validation server under its ServiceAccount. It listens when this returns, but may not be ready.
func (w *world) startValidator(setup validatorSetup) *validator {
	w.t.Helper()
	eventually(w.t, "the manager's certificates", patience, func() error {
		select {
		case <-w.issued:
			return nil
		default:
			return errors.New("the manager has not completed Secret " + certificates)
		}
	})
	v := &validator{world: w, setup: setup,
		requests: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	w.t.Cleanup(v.requests.CloseIdleConnections)
	v.start()
	return v
}

func (v *validator) start() {
	w := v.world
	w.t.Helper()
	token := &w.validatorToken
	if v.setup.token != nil {
		token = v.setup.token
	}
	arguments := []string{
		cmp.Or(v.setup.binary, bin("e2e", "keyward-validator")),
		"--instance=" + v.setup.instance,
		"--sync-address=" + w.syncAddress, // there is no DNS to find the leader with
		"--sync-server-name=keyward-sync." + systemNamespace + ".svc",
		"--sync-ca-file=" + filepath.Join(w.ca.Dir, caFile),
		"--sync-token-file=" + token.Path(),
		"--snapshot-dir=" + v.snapshotDir(),
		"--shutdown-delay=0s",
		"--proxy-bind-address=127.0.0.1:0", "--http-bind-address=127.0.0.1:0",
		"--grpc-bind-address=127.0.0.1:0", "--admin-bind-address=127.0.0.1:0",
		"--log-level=" + highest,
	}
	if v.setup.upstream != "" {
		arguments = append(arguments, "--upstream="+v.setup.upstream)
	}
	var err error
	v.process, err = startProcess(w.path("logs"), v.setup.instance, nil, append(arguments, v.setup.flags...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.runs(v.process, func() string { return v.listens.Admin.String() })
	eventually(w.t, v.setup.instance, patience, func() error {
		if v.hasEnded() {
			return v.complaint()
		}
		return v.listens.read(v.log)
	})
}

func (v *validator) snapshotDir() string {
	return v.world.path("snapshots", v.world.namespace, v.setup.instance)
}

// readiness requests /readyz.
func (v *validator) readiness() error {
	return answers200("http://" + v.listens.Admin.String() + "/readyz")
}

func (v *validator) awaitReady() {
	v.world.t.Helper()
	eventually(v.world.t, v.setup.instance+" to be ready", patience, v.readiness)
}

// startValidators starts some servers, and waits until they are ready and connected.
func (w *world) startValidators(instances ...string) []*validator {
	w.t.Helper()
	started := make([]*validator, 0, len(instances))
	for _, instance := range instances {
		started = append(started, w.startValidator(validatorSetup{instance: instance}))
	}
	for _, v := range started {
		v.awaitReady()
	}
	return started
}

// verify returns the code for a key that reads something of the project marketing.
func (v *validator) verify(ctx context.Context, key string) (string, error) {
	body, err := json.Marshal(map[string]string{"key": key, "method": http.MethodGet, "path": "/mkt/scene"})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+v.listens.HTTP.String()+"/v1/verify", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := v.requests.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var verdict adminv1.Verdict
	if err := json.NewDecoder(response.Body).Decode(&verdict); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", errors.New("it answers " + strconv.Itoa(response.StatusCode))
	}
	return verdict.Code, nil
}

// requires fails the test unless the verdict has this code.
func (v *validator) requires(t testing.TB, key, code string) {
	t.Helper()
	if got, err := v.verify(t.Context(), key); err != nil || got != code {
		t.Errorf("%s: %s answers %q (%v) instead of %s", key[:8]+"…", v.setup.instance, got, err, code)
	}
}

// awaits waits until the verdict has this code.
func (v *validator) awaits(key, code string) {
	t := v.world.t
	t.Helper()
	eventually(t, v.setup.instance+" to answer "+code, patience, func() error {
		got, err := v.verify(t.Context(), key)
		if err == nil && got != code {
			err = fmt.Errorf("it answers %q", got)
		}
		return err
	})
}
