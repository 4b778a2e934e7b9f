package plugin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// mostCredential is the size of a file with a token or with certificates.
	mostCredential = 1 << 20
	// mostHours is the size of an answer: 192 hours take about 20 KB.
	mostHours = 1 << 20
	// mostHeader is the size of the header of an answer.
	mostHeader = 64 << 10

	hourParameter = "2006-01-02T15:04Z"
)

// hourly says which hours usage is about, and where the manager is asked for them: they are in no object.
type hourly struct {
	hours                                  int
	manager, caFile, serverName, tokenFile string
	wanted                                 bool
	at                                     *url.URL
}

// ofManager are the flags that say how the manager is asked.
var ofManager = []string{"manager", "manager-ca-file", "manager-server-name", "token-file"}

func (h *hourly) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&h.hours, "hours", 0, fmt.Sprintf("show the last hours, at most %d, of the manager that --manager names", usageseries.MaxHours))
	flags.StringVar(&h.manager, "manager", "", "where the API of usage is reached, such as https://keyward-usage.keyward-system.svc:9448; your token is sent there, and nowhere else")
	flags.StringVar(&h.caFile, "manager-ca-file", "", "file with the CA of the manager's certificate, as the ConfigMap keyward-ca has it; default: the CAs of this machine")
	flags.StringVar(&h.serverName, "manager-server-name", "", "name in the manager's certificate, if it is not the host of --manager, as behind kubectl port-forward")
	flags.StringVar(&h.tokenFile, "token-file", "", "file with a token of the cluster for the manager; default: the token of your kubeconfig")
}

// check reads the flags. It quotes none of them: one may have a password.
func (h *hourly) check(cmd *cobra.Command, output string) error {
	flags := cmd.Flags()
	if h.wanted = flags.Changed("hours"); !h.wanted {
		for _, name := range ofManager {
			if flags.Changed(name) {
				return usagef("--%s: this is for --hours; all else is read from the cluster", name)
			}
		}
		return nil
	}
	for _, name := range []string{"days", "month", "by", "limit"} {
		if flags.Changed(name) {
			return usagef("--hours, --%s: write one of them", name)
		}
	}
	switch {
	case h.hours < 1 || h.hours > usageseries.MaxHours:
		return usagef("--hours: write a number from 1 to %d; for longer ago, use --days", usageseries.MaxHours)
	case output == outputWide:
		return usagef("-o: wide shows the month at a glance; with --hours write table, csv, json or yaml")
	case h.manager == "":
		return usagef("--manager: hours are in no object of the cluster: write where the API of usage of the manager is, such as " +
			"https://keyward-usage.keyward-system.svc:9448")
	}
	at, err := url.Parse(h.manager)
	if err != nil || at.Scheme != "https" || at.Hostname() == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return usagef("--manager: write https:// and a host, such as https://keyward-usage.keyward-system.svc:9448")
	}
	h.at = at
	return nil
}

// usageByHour writes what was used of a Group by hour, as the manager answers.
func (a *app) usageByHour(ctx context.Context, s *session, group *v1alpha1.Group, h *hourly) error {
	token, err := h.token(ctx, s.config)
	if err != nil {
		return err
	}
	running := usageseries.HourOf(a.now())
	series, err := h.ask(ctx, token, url.Values{
		adminv1.UsageSeriesGroup: {group.Namespace + "/" + group.Name}, adminv1.UsageSeriesBy: {adminv1.ByHour},
		adminv1.UsageSeriesFrom: {(running - usageseries.Hour(h.hours) + 1).Begin().Format(hourParameter)},
	})
	if err != nil {
		return coded{ExitError, fmt.Errorf("--manager: %w", err)}
	}
	if a.output == outputCSV {
		return a.csv(linesOf(series))
	}
	return a.print(series, func(p *page) {
		p.blocks = showsBlocks(a.streams.Out)
		p.overTime(series, 0)
	})
}

// ask asks the manager.
func (h *hourly) ask(ctx context.Context, token string, query url.Values) (*adminv1.UsageSeries, error) {
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	at := h.at.JoinPath(adminv1.UsageSeriesPath)
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("User-Agent", "kubectl-keyward")
	client, err := h.client()
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return nil, fmt.Errorf("%w: nothing was sent; --manager-ca-file names the file with its CA, which the ConfigMap keyward-ca has, and "+
			"--manager-server-name the name in its certificate, such as keyward-usage.keyward-system.svc", untrusted)
	case err != nil:
		return nil, errors.Unwrap(err) // without the URL
	}
	defer func() { _ = response.Body.Close() }()
	return readHours(response, query.Get(adminv1.UsageSeriesGroup))
}

// readHours reads an answer about a Group.
func readHours(response *http.Response, group string) (*adminv1.UsageSeries, error) {
	body := json.NewDecoder(io.LimitReader(response.Body, mostHours))
	if response.StatusCode != http.StatusOK {
		problem := adminv1.UsageProblem{}
		_ = body.Decode(&problem) // without one, the status says it
		switch {
		case response.StatusCode >= http.StatusMultipleChoices && response.StatusCode < http.StatusBadRequest:
			return nil, errors.New("it redirects to elsewhere, and your token is sent only to the host that you name: name the other one, if you trust it")
		case response.StatusCode == http.StatusUnauthorized:
			return nil, errors.New("it does not accept the token, which has to be one of its own cluster, for the API server: see --token-file")
		case problem.Detail == "":
			return nil, fmt.Errorf("it answers %s, as no API of usage does: see docs/reference/usage-series.md for how to turn that on", response.Status)
		}
		return nil, fmt.Errorf("it answers %d: %s", response.StatusCode, problem.Detail)
	}
	series := &adminv1.UsageSeries{}
	if err := body.Decode(series); err != nil || series.Group != group || series.By != adminv1.ByHour || len(series.Points) > usageseries.MaxHours {
		return nil, errors.New("its answer is not about the hours of the Group: is it the API of usage?")
	}
	return series, nil
}

// client returns a client that trusts the manager alone with what it sends.
func (h *hourly) client() (*http.Client, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: h.serverName}
	if h.caFile != "" {
		text, err := readBounded(h.caFile)
		if err != nil {
			return nil, fmt.Errorf("--manager-ca-file: %w", err)
		}
		if trust.RootCAs = x509.NewCertPool(); !trust.RootCAs.AppendCertsFromPEM(text) {
			return nil, usagef("--manager-ca-file: there is no certificate in it: write it in PEM, as the ConfigMap keyward-ca has it")
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: trust, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: mostHeader,
		},
		// Another host would get the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// token returns what the user is known by: what --token-file has, or what the kubeconfig sends to the API server.
func (h *hourly) token(ctx context.Context, config *rest.Config) (string, error) {
	if as := &config.Impersonate; as.UserName != "" || as.UID != "" || len(as.Groups) > 0 || len(as.Extra) > 0 {
		return "", usagef("--as: the manager shows hours to the user of a token, and impersonates nobody: name a token of that user with --token-file")
	}
	if h.tokenFile != "" {
		text, err := readBounded(h.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		if len(strings.Fields(string(text))) != 1 {
			return "", usagef("--token-file: write one token into it, such as that of kubectl create token")
		}
		return strings.TrimSpace(string(text)), nil
	}
	sent := &sentNowhere{}
	transport, err := rest.HTTPWrappersForConfig(config, sent) // which asks what the kubeconfig names, such as a program
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.at.String(), http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	_ = response.Body.Close()
	scheme, token, _ := strings.Cut(sent.authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", refusedf("your kubeconfig has no token, by which the manager knows people: it cannot be asked with a client certificate or a password. " +
			"Name a file with one by --token-file, such as that of kubectl create token")
	}
	return token, nil
}

// sentNowhere keeps what a request would be sent with.
type sentNowhere struct{ authorization string }

// RoundTrip implements http.RoundTripper.
func (s *sentNowhere) RoundTrip(request *http.Request) (*http.Response, error) {
	s.authorization = request.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: request}, nil
}

// readBounded reads a file, of which no more is kept than a credential has.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, mostCredential))
}
