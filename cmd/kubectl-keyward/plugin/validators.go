package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/decisioncode"
)

const (
	// adminPort is where validation servers return decisions, unless their Pod names another port.
	adminPort = 8083
	// adminPortName is its name in Pods.
	adminPortName = "admin"
	// tokenEntry is the entry of the Secret with the token.
	tokenEntry = "token"
	// serverPatience is how long one server may take.
	serverPatience = 10 * time.Second
	// mostAnswer bounds what is read of an answer: 1000 decisions are far below.
	mostAnswer = 8 << 20
)

// ruling is one decision of a validation server.
type ruling struct {
	Validator string `json:"validator"`
	adminv1.Decision
}

// validator is a validation server to ask.
type validator struct {
	name string
	url  string // directly
	pod  *corev1.Pod
}

// servers says where to look for validation servers, and how to be admitted.
type servers struct {
	urls                []string
	namespace, selector string
	tokenFile, secret   string
}

// addFlags adds the flags that say so.
func (w *servers) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&w.urls, "url", nil, "where the admin port of a validation server is reached directly; may be repeated")
	flags.StringVar(&w.namespace, "validator-namespace", "keyward-system", "namespace of the validation servers")
	flags.StringVarP(&w.selector, "selector", "l",
		"app.kubernetes.io/name=keyward,app.kubernetes.io/component=validator", "labels of the validation servers")
	flags.StringVar(&w.tokenFile, "token-file", "", "file with the validation servers' token; default: from the Secret")
	flags.StringVar(&w.secret, "token-secret", "keyward-system/keyward-validator-admin",
		"Secret whose entry \"token\" is the validation servers' token")
}

// find returns the servers to ask.
func (w *servers) find(ctx context.Context, s *session) ([]validator, error) {
	var found []validator
	for _, text := range w.urls {
		at, err := url.Parse(text)
		if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
			return nil, usagef("--url %q: write where the admin port of a validation server is, such as http://127.0.0.1:8083", text)
		}
		found = append(found, validator{name: at.Host, url: strings.TrimSuffix(text, "/")})
	}
	if len(found) > 0 {
		return found, nil
	}
	var pods corev1.PodList
	selector, err := labels.Parse(w.selector)
	if err != nil {
		return nil, usagef("--selector: %w", err)
	}
	if err := s.List(ctx, &pods, client.InNamespace(w.namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, err
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Status.Phase == corev1.PodRunning {
			found = append(found, validator{name: pod.Namespace + "/" + pod.Name, pod: pod})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no validation server runs with the labels %s in namespace %s: see --selector and "+
			"--validator-namespace, or give --url", w.selector, w.namespace)
	}
	return found, nil
}

// token returns the token that the servers require.
func (w *servers) token(ctx context.Context, s *session) (string, error) {
	if w.tokenFile != "" {
		text, err := os.ReadFile(w.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	namespace, name, ok := strings.Cut(w.secret, "/")
	if !ok {
		return "", usagef("--token-secret %q: write NAMESPACE/NAME", w.secret)
	}
	secret := &corev1.Secret{}
	err := s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("there is no Secret %s with the token of the validation servers: give --token-file or "+
			"--token-secret; docs/kubectl-keyward.md says how to let servers keep decisions", w.secret)
	}
	return strings.TrimSpace(string(secret.Data[tokenEntry])), err
}

// ask queries one server. A Pod is reached through the API server.
func (v *validator) ask(ctx context.Context, s *session, token string, queries []url.Values) ([]ruling, error) {
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	base, err := v.base(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, query := range queries {
		decisions, err := v.fetch(ctx, base, token, query)
		if err != nil {
			return nil, err
		}
		if len(decisions) == mostDecisions && !slices.ContainsFunc(decisions, func(d ruling) bool { return d.refused() }) {
			return v.fetchRefused(ctx, base, token, query, decisions)
		}
		if len(decisions) > 0 {
			return decisions, nil
		}
	}
	return nil, nil
}

// base returns the URL of the server's admin port, until ctx is done.
func (v *validator) base(ctx context.Context, s *session) (string, error) {
	if v.pod == nil {
		return v.url, nil
	}
	return forward(ctx, s.config, v.pod)
}

// fetchRefused asks for the refusals of each code: the refusals of a busy key are hidden among its many allowed requests.
func (v *validator) fetchRefused(ctx context.Context, base, token string, query url.Values, all []ruling) ([]ruling, error) {
	for _, code := range decisioncode.All() {
		if !code.Refuses() {
			continue
		}
		query := maps.Clone(query)
		query.Set(adminv1.DecisionsCode, code.String())
		decisions, err := v.fetch(ctx, base, token, query)
		if err != nil {
			return nil, err
		}
		all = append(all, decisions...)
	}
	return all, nil
}

func (v *validator) fetch(ctx context.Context, base, token string, query url.Values) ([]ruling, error) {
	var answer adminv1.Decisions
	if err := get(ctx, base+adminv1.DecisionsPath+"?"+query.Encode(), token, "it keeps no decisions: start it with --admin-token-file",
		&answer); err != nil {
		return nil, err
	}
	var decisions []ruling
	for _, decision := range answer.Decisions {
		decisions = append(decisions, ruling{v.name, decision})
	}
	return decisions, nil
}

// get asks an admin port. What 404 means depends on what is asked.
func get(ctx context.Context, at, token, notFound string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	// Its own transport: no connection outlives the tunnel.
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}).Do(request)
	if err != nil {
		return errors.Unwrap(err) // without the URL, which is the query again
	}
	defer func() { _ = response.Body.Close() }()
	body := io.LimitReader(response.Body, mostAnswer)
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return errors.New(notFound)
	case http.StatusUnauthorized:
		return errors.New("it requires another token: see --token-file and --token-secret")
	default:
		var problem struct{ Title, Detail string }
		_ = json.NewDecoder(body).Decode(&problem) // without one, the status says it
		return fmt.Errorf("it answers %s %s", response.Status, problem.Detail)
	}
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	return nil
}

// forward opens a tunnel to the admin port of a Pod, until ctx is done, and returns the URL
// of its near end.
func forward(ctx context.Context, config *rest.Config, pod *corev1.Pod) (string, error) {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", err
	}
	at := server.JoinPath("api/v1/namespaces", pod.Namespace, "pods", pod.Name, "portforward")
	dialer, err := tunnels(config, at)
	if err != nil {
		return "", err
	}
	ready, failed := make(chan struct{}), make(chan error, 1)
	tunnel, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"},
		[]string{"0:" + strconv.Itoa(adminPortOf(pod))}, ready, nil, nil)
	if err != nil {
		return "", err
	}
	go func() { failed <- tunnel.ForwardPorts() }()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case err := <-failed:
		return "", fmt.Errorf("forward its port: %w", err)
	case <-ready:
	}
	ports, err := tunnel.GetPorts()
	if err != nil {
		return "", err
	}
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))), nil
}

// tunnels dials as kubectl does: by WebSocket, and by SPDY where the API server is older.
func tunnels(config *rest.Config, at *url.URL) (httpstream.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	older := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	newer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(newer, older, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

func adminPortOf(pod *corev1.Pod) int {
	containers := append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...)
	for i := range containers {
		for _, port := range containers[i].Ports {
			if port.Name == adminPortName {
				return int(port.ContainerPort)
			}
		}
	}
	return adminPort
}
