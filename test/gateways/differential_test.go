package gateways

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/server/integrations/reverseproxy"
	"github.com/keyward-dev/keyward/test/fixture"
)

// spelling is a request that somebody could read differently. Text that JSON cannot carry is escaped as in Go, with
// a backslash that JSON escapes in turn.
type spelling struct {
	Name         string
	Method, Host string // GET, and the website's
	Target       string
	Headers      []string

	// Read is how readers read it without a gateway, by their names: it shows that the spelling is hostile.
	Read map[string]string
	// Allowed is the project that it belongs to, if it must pass.
	Allowed string
}

// corpus is every spelling that is known to be read differently, and some that must pass.
func corpus(t testing.TB) []spelling {
	t.Helper()
	text, err := os.ReadFile("testdata/spellings.json")
	if err != nil {
		t.Fatal(err)
	}
	var spellings []spelling
	if err := json.Unmarshal(text, &spellings); err != nil {
		t.Fatal(err)
	}
	for i := range spellings {
		s := &spellings[i]
		for _, field := range append([]*string{&s.Host, &s.Target}, pointers(s.Headers)...) {
			if strings.Contains(*field, `\`) {
				if *field, err = strconv.Unquote(`"` + strings.ReplaceAll(*field, `"`, `\"`) + `"`); err != nil {
					t.Fatalf("%s: %v", s.Name, err)
				}
			}
		}
		s.Target = strings.ReplaceAll(s.Target, "{long}", strings.Repeat("a", 9<<10))
	}
	return spellings
}

func pointers(texts []string) []*string {
	found := make([]*string, len(texts))
	for i := range texts {
		found[i] = &texts[i]
	}
	return found
}

// raw is the request as it is sent.
func (s *spelling) raw(key string) []byte {
	var b bytes.Buffer
	host := s.Host
	if host == "" {
		host = websiteHost
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nX-Api-Key: %s\r\n", s.method(), s.Target, host, key)
	for _, line := range s.Headers {
		b.WriteString(line + "\r\n")
	}
	if s.method() == http.MethodPost {
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func (s *spelling) method() string {
	if s.Method == "" {
		return http.MethodGet
	}
	return s.Method
}

// decided records the last request that was allowed.
type decided struct {
	mu                           sync.Mutex
	project, method, path, query string
}

// Record implements authorizer.Recorder.
func (d *decided) Record(_ string, _ time.Time, request *authorizer.Request, result *authorizer.Result) {
	if result.Allowed() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.project, d.method, d.path, d.query = result.Project.Name, request.Method, request.Path, request.RawQuery
	}
}

// comparison sends allowed requests to all readers.
type comparison struct {
	*world

	decided decided
	arrived chan arrived
	readers []*contentReader
}

// divided is a Group whose content belongs to many projects, all of which one key may read: every reader must serve the
// project that was decided.
func divided() *syncv1.Group {
	project := func(name, host string, routes ...*syncv1.Route) *syncv1.Project {
		for _, route := range routes {
			route.Hosts = []string{host}
		}
		return &syncv1.Project{Name: name, Routes: routes, Origins: &syncv1.OriginPolicy{AllowMissing: true}}
	}
	chosen := func(path, parameter, value string) *syncv1.Route {
		return &syncv1.Route{Paths: []string{path}, Query: []*syncv1.QueryMatch{{Name: parameter, Values: []string{value}}}}
	}
	return &syncv1.Group{
		Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
		AcceptIn: []syncv1.KeyLocation{syncv1.KeyLocation_KEY_LOCATION_QUERY},
		Capabilities: []*syncv1.Capability{{Name: "checkout", Routes: []*syncv1.Route{{Methods: []string{"POST"},
			Paths: []string{"/checkout"}}}}},
		Projects: []*syncv1.Project{
			project("other", otherHost, &syncv1.Route{Paths: []string{"/**"}}),
			project("secret", websiteHost, &syncv1.Route{Paths: []string{"/secret/**", "/report", "/report.php"}}),
			project("site42", websiteHost, chosen("/q/**", "siteId", "42")),
			project("site43", websiteHost, chosen("/q/**", "siteId", "43")),
			project("tenant42", websiteHost, chosen("/t/**", "tenant_id", "42")),
			project("tenant43", websiteHost, chosen("/t/**", "tenant_id", "43")),
			project("tree", websiteHost, &syncv1.Route{Paths: []string{"/docs/tree/**"}}),
			project("website", websiteHost, &syncv1.Route{Paths: []string{"/**"}}),
		},
	}
}

func newComparison(t testing.TB, readers []*contentReader, options ...authorizer.Option) *comparison {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c := &comparison{world: &world{}, arrived: make(chan arrived, 16), readers: readers}
	minted := fixture.Mint(t)
	group, digest := divided(), minted.Digest()
	key := &syncv1.Key{Id: "id", Group: "tenants/acme", Permissions: []string{"read", "checkout"},
		Versions: []*syncv1.Version{{Digest: digest[:]}}}
	for _, project := range group.Projects {
		key.Projects = append(key.Projects, project.Name)
	}
	update := &syncv1.Update{CaughtUp: true, Groups: []*syncv1.Group{group}, Keys: []*syncv1.Key{key}}
	g := fixture.Authorizer(t, update, append(options, authorizer.WithRecorder(&c.decided))...)
	trusted := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, clientaddr.HeaderXForwardedFor)
	mux := http.NewServeMux()
	forwardauth.Register(mux, g, trusted)
	c.key, c.keyward, c.content = minted.Reveal(), serveStrictly(t, mux), recordArrivals(t, c.arrived)
	upstream, err := url.Parse("http://" + c.content)
	if err != nil {
		t.Fatal(err)
	}
	nobody := clientaddr.New(nil, clientaddr.HeaderXForwardedFor) // clients connect to the reverse proxy directly
	c.proxy = reverseproxy.New(g, reverseproxy.Config{Upstream: upstream, Clients: nobody}, log)
	return c
}

// serveStrictly serves as the validation server does.
func serveStrictly(t testing.TB, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := http1.NewServer(listener, http1.Config{Handler: handler, MaxHeaderBytes: 64 << 10, Upgrades: true})
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return server.Addr().String()
}

// compared is the outcome of a comparison: how readers differ from what was decided, if the request was allowed.
type compared struct {
	status      int
	passed      bool
	project     string
	differences []string
}

// compare sends a request to a gateway, and what the gateway forwards to all readers.
func (c *comparison) compare(ctx context.Context, gateway *pool, s *spelling) (compared, error) {
	got, err := gateway.roundTrip(ctx, s.raw(c.key), s.method())
	if errors.Is(err, errRefused) { // without a response, but something may have been forwarded
		return c.judge(ctx, 0)
	}
	if err != nil {
		return compared{}, fmt.Errorf("%s: %w", gateway.address, err)
	}
	return c.judge(ctx, got.status)
}

// judge asks the readers about what has arrived, if anything has.
func (c *comparison) judge(ctx context.Context, status int) (compared, error) {
	found := compared{status: status}
	var a arrived
	select {
	case a = <-c.arrived:
	default:
		return found, nil
	}
	c.decided.mu.Lock()
	project, method, path, query := c.decided.project, c.decided.method, c.decided.path, c.decided.query
	c.decided.mu.Unlock()
	found.passed, found.project = true, project
	if a.project != project {
		found.differences = append(found.differences, fmt.Sprintf("the content server gets the project %q, decided was %q",
			a.project, project))
	}
	if a.method != method {
		found.differences = append(found.differences, fmt.Sprintf("%s arrives, decided was %s", a.method, method))
	}
	if difference := changed(a.target, path, query); difference != "" {
		found.differences = append(found.differences, difference)
	}
	select {
	case another := <-c.arrived:
		found.differences = append(found.differences, fmt.Sprintf("another request arrives: %q", another.raw))
	default:
	}
	differences, err := c.ask(ctx, a, project, method)
	found.differences = append(found.differences, differences...)
	return found, err
}

// changed reports how the target that arrives differs from the one that was decided on: characters may become encoded or
// decoded, but not those whose meaning changes by it (RFC 3986, section 2.2).
func changed(target, path, query string) string {
	gotPath, gotQuery, _ := strings.Cut(target, "?")
	if withoutEscapes(gotPath) != withoutEscapes(path) || gotQuery != query {
		return fmt.Sprintf("%q arrives, decided was %q, %q", target, path, query)
	}
	return ""
}

// withoutEscapes decodes escapes that mean the same decoded.
func withoutEscapes(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		escape := strings.ToUpper(path[i : i+3])
		if decoded, err := url.PathUnescape(escape); err != nil || strings.ContainsAny(decoded, "%:/?#[]@!$&'()*+,;=") {
			b.WriteString(escape)
		} else {
			b.WriteString(decoded)
		}
		i += 2
	}
	return b.String()
}

// ask lets all readers read at once.
func (c *comparison) ask(ctx context.Context, a arrived, project, method string) ([]string, error) {
	var wait sync.WaitGroup
	found, failed := make([][]string, len(c.readers)), make([]error, len(c.readers))
	for i, r := range c.readers {
		wait.Go(func() {
			read, err := r.read(ctx, a.raw, a.method)
			switch {
			case errors.Is(err, errRefused):
			case err != nil:
				failed[i] = fmt.Errorf("%s, reading %q: %w", r.name, a.raw, err)
			default:
				read.forgive(r, a.target, project)
				for _, difference := range read.differences(project, method) {
					found[i] = append(found[i], r.name+": "+difference)
				}
			}
		})
	}
	wait.Wait()
	return slices.Concat(found...), errors.Join(failed...)
}

// TestSpellingsAreHostile asks readers directly, to show that they differ: nothing else shows that the other tests pass
// because of the decision.
func TestSpellingsAreHostile(t *testing.T) {
	readers := startReaders(t)
	defer stillThere(t, readers)
	for _, s := range corpus(t) {
		t.Run(s.Name, func(t *testing.T) {
			for name, want := range s.Read {
				i := slices.IndexFunc(readers, func(r *contentReader) bool { return r.name == name })
				if i < 0 {
					t.Logf("%s is not there", name)
					continue
				}
				read, err := readers[i].read(t.Context(), s.raw("key"), s.method())
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(read.differences("nobody", "NONE"), "; "); !strings.Contains(got, want) {
					t.Errorf("%s reads it as %s, want %s", name, got, want)
				}
			}
		})
	}
}

// TestReadersAgree is about requests that gateways and the reverse proxy forward: for all readers they belong to the
// project that was decided, with the method that was decided.
func TestReadersAgree(t *testing.T) {
	readers := minding(startReaders(t))
	defer stillThere(t, readers)
	for _, g := range append([]gateway{own}, gateways...) {
		t.Run(g.name, func(t *testing.T) {
			c := newComparison(t, readers)
			c.compareAll(t, g.start(t, c.world))
		})
	}
}

// TestReadersThatIgnoreCaseAgree is about those behind a validation server with --ignore-path-case, and shows why it needs
// the flag.
func TestReadersThatIgnoreCaseAgree(t *testing.T) {
	readers := slices.DeleteFunc(slices.Clone(startReaders(t)), func(r *contentReader) bool { return !r.ignoresCase })
	if len(readers) == 0 {
		t.Skip("no reader that ignores case is installed")
	}
	defer stillThere(t, readers)
	shouted := spelling{Target: "/SECRET/x"}

	c := newComparison(t, readers)
	front := &pool{address: startProxy(t, c.world)}
	t.Cleanup(front.close)
	got, err := c.compare(t.Context(), front, &shouted)
	if err != nil || got.project != classWebsite || len(got.differences) == 0 {
		t.Errorf("without --ignore-path-case %s is %s's, and read so: %q, %v", shouted.Target, got.project, got.differences, err)
	}

	c = newComparison(t, readers, authorizer.WithReading(routing.Reading{IgnoreCase: true}))
	address := startProxy(t, c.world)
	c.compareAll(t, address)
	front = &pool{address: address}
	t.Cleanup(front.close)
	got, err = c.compare(t.Context(), front, &shouted)
	if err != nil || got.project != classSecret || len(got.differences) > 0 {
		t.Errorf("with --ignore-path-case %s is %s's, and read so: %q, %v", shouted.Target, got.project, got.differences, err)
	}
}

// TestReadersThatKeepParametersAgree is about those that --path-parameters=allow is for: they read a ';' literally.
func TestReadersThatKeepParametersAgree(t *testing.T) {
	all := minding(startReaders(t))
	readers := slices.DeleteFunc(slices.Clone(all), func(r *contentReader) bool { return r.dropsParameters })
	defer stillThere(t, readers)
	c := newComparison(t, readers, authorizer.WithReading(routing.Reading{Parameters: true}))
	c.compareAll(t, startProxy(t, c.world))

	cut := spelling{Target: "/secret;a/x"}
	front := &pool{address: startProxy(t, c.world)}
	t.Cleanup(front.close)
	if got, err := c.compare(t.Context(), front, &cut); err != nil || !got.passed || len(got.differences) > 0 {
		t.Errorf("with --path-parameters=allow %s is %s's, and read so: %q, %v", cut.Target, got.project, got.differences, err)
	}
	if !slices.ContainsFunc(all, func(r *contentReader) bool { return r.name == "Tomcat" }) {
		return
	}
	c = newComparison(t, all, authorizer.WithReading(routing.Reading{Parameters: true}))
	other := &pool{address: startProxy(t, c.world)}
	t.Cleanup(other.close)
	if got, err := c.compare(t.Context(), other, &cut); err != nil || len(got.differences) == 0 {
		t.Errorf("a servlet container reads %s as %s's, too: %v", cut.Target, got.project, err)
	}
}

// compareAll sends the whole corpus to that address.
func (c *comparison) compareAll(t *testing.T, address string) {
	t.Helper()
	front := &pool{address: address}
	t.Cleanup(front.close)
	waitFor(t, address)
	for _, s := range corpus(t) {
		t.Run(s.Name, func(t *testing.T) {
			got, err := c.compare(t.Context(), front, &s)
			if err != nil {
				t.Fatal(err)
			}
			for _, difference := range got.differences {
				t.Error(difference)
			}
			if s.Allowed != "" && (!got.passed || got.project != s.Allowed) {
				t.Errorf("the response is %d, for the project %q, want it allowed for %s", got.status, got.project, s.Allowed)
			}
		})
	}
}
