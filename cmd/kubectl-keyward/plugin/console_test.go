package plugin

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// serving runs kubectl keyward console until the test ends, and returns what it prints.
func serving(t *testing.T, args ...string) (address string) {
	t.Helper()
	out, in := io.Pipe()
	var problems bytes.Buffer
	a := &app{streams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: in, ErrOut: &problems}, now: time.Now}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	dir := t.TempDir()
	go func() {
		ended <- run(ctx, a, append([]string{"console", "--kubeconfig", kubeconfig, "--cache-dir", dir}, args...), "test")
		_ = in.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 || !strings.Contains(problems.String(), "until Ctrl-C") {
			t.Errorf("exit code %d: %s", code, &problems)
		}
		if _, secret, _ := strings.Cut(address, "/enter/"); strings.Contains(problems.String(), secret) {
			t.Errorf("the secret is in the log: %s", &problems)
		}
	})
	text := make([]byte, 256)
	n, err := out.Read(text)
	if err != nil {
		t.Fatalf("%v: %s", err, &problems)
	}
	return strings.TrimSpace(string(text[:n]))
}

// visit returns a page as a browser with these cookies gets it.
func visit(t *testing.T, browser *http.Client, address string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// TestConsole opens the address as its user does, and as somebody else on the machine may try to.
func TestConsole(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	address := serving(t)
	origin, _, found := strings.Cut(address, "/enter/")
	if !found || !strings.HasPrefix(origin, "http://127.0.0.1:") {
		t.Fatalf("the address is %q", address)
	}
	mine, other := newBrowser(t), newBrowser(t)
	if status, page := visit(t, other, origin+"/"); status != http.StatusUnauthorized || !strings.Contains(page, "kubectl keyward console") {
		t.Errorf("somebody else: %d %s", status, page)
	}
	if status, _ := visit(t, other, origin+"/enter/x"); status != http.StatusNotFound {
		t.Errorf("a guess: %d", status)
	}
	if status, page := visit(t, mine, address); status != http.StatusOK || !strings.Contains(page, "/groups/"+live+"/"+key.Name) {
		t.Errorf("the address: %d %s", status, page)
	}
	if status, _ := visit(t, other, address); status != http.StatusNotFound {
		t.Errorf("the address, again: %d", status)
	}
	keyPath := origin + "/groups/" + live + "/" + key.Name + "/keys/" + live + "/" + key.Name
	if status, page := visit(t, mine, keyPath); status != http.StatusOK || !strings.Contains(page, key.Status.Preview) {
		t.Errorf("the key: %d %s", status, page)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example" // a name that resolves to 127.0.0.1
	response, err := mine.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another host: %s", response.Status)
	}
}

func TestThePortOfTheConsole(t *testing.T) {
	keyward(t, "", "console", "--port=70000").expect(t, ExitUsage, "--port: write a number up to 65535")
	address := serving(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(address, "http://"), ":")
	port, _, _ = strings.Cut(port, "/")
	keyward(t, "", "console", "--port="+port).expect(t, ExitError, "--port", "in use")
}
