package conformance

import (
	"net/netip"
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/decision"
)

// worldPublic has groups with public paths beside the usual ones, and clients that have asked for too many of them.
const worldPublic = "public"

const siteHost = "www.site.example"

// open is a request without a key that is public.
func open(name, guards, request string, headers ...string) testCase {
	return testCase{name: name, guards: guards, request: request, headers: headers, world: worldPublic, want: decision.Public, owner: "web"}
}

// shut is a request without a key that is not public.
func shut(name, guards, request string, headers ...string) testCase {
	return testCase{name: name, guards: guards, request: request, headers: headers, world: worldPublic, want: decision.KeyMissing}
}

// publicTable is about requests without a key.
var publicTable = slices.Concat([]testCase{
	open("public: a file", "crawlers that are refused robots.txt", "GET "+siteHost+" /robots.txt"),
	open("public: HEAD", "probes that ask with HEAD", "HEAD "+siteHost+" /health"),
	open("public: OPTIONS that is no preflight", "clients that ask what a path supports", "OPTIONS "+siteHost+" /health"),
	open("public: the head of a subtree", "a subtree whose own path needs a key", "GET "+siteHost+" /.well-known"),
	open("public: a subtree", "certificates that cannot be renewed", "GET "+siteHost+" /.well-known/acme-challenge/x"),
	open("public: with a query", "cache busters that need a key", "GET "+siteHost+" /robots.txt?v=2"),
	open("public: on a subdomain", "hosts that a wildcard names", "GET a.pages.site.example /robots.txt"),
	open("public: in capitals and with a port", "another spelling of the same host", "GET WWW.Site.Example:443 /robots.txt"),
	open("public: forged headers", "strangers who say that they have a key, or whose they are", "GET "+siteHost+" /robots.txt",
		"X-Keyward-Key-Id: id-good", "X-Keyward-Permissions: read,admin", "X-Keyward-Group: tenants/acme", "X_Keyward_Key_Id: id-good"),
	open("public: from a foreign page", "a public image that a foreign page cannot show", "GET "+siteHost+" /static/logo.png",
		"Origin: https://evil.example"),
	{name: "public: from an allowed page", guards: "pages of the project that cannot read what everybody may", request: "GET " + siteHost + " /static/data.json",
		headers: []string{"Origin: " + acmePage}, readable: acmePage, world: worldPublic, want: decision.Public, owner: "web"},
	{name: "public: with an id", guards: "requests that cannot be followed because they have no key", request: "GET " + siteHost + " /robots.txt",
		headers: []string{"X-Request-Id: of-the-client"}, id: "of-the-client", world: worldPublic, want: decision.Public, owner: "web"},
	{name: "public: named by the gateway", guards: "gateways that know the project better than routes do", request: "GET any.example /ping",
		project: "lone", world: worldPublic, want: decision.Public, owner: "lone"},

	shut("public: another path", "everything public because something is", "GET "+siteHost+" /"),
	shut("public: a slash more", "servers that serve a directory where the file is public", "GET "+siteHost+" /robots.txt/"),
	shut("public: behind the file", "PATH_INFO: a script that serves more than its own path", "GET "+siteHost+" /run.php/admin"),
	shut("public: a longer name", "prefixes of text where segments are meant", "GET "+siteHost+" /.well-known2"),
	shut("public: in another case", "content servers that distinguish case, and have a secret there", "GET "+siteHost+" /Static/x"),
	shut("public: POST", "writing without a key", "POST "+siteHost+" /robots.txt"),
	shut("public: DELETE", "deleting without a key", "DELETE "+siteHost+" /static/x"),
	shut("public: another project's part", "a public subtree around what another project keeps", "GET "+siteHost+" /static/admin/x"),
	shut("public: another project's part in capitals", "content servers that ignore case, below a public subtree", "GET "+siteHost+" /static/ADMIN/x"),
	shut("public: another project's part, encoded", "routes of others that encoding gets around, without a key", "GET "+siteHost+" /static/%61dmin/x").
		not("awsauthorizer"), // it cannot know what was encoded, and refuses
	shut("public: another project's part with a slash", "a slash that takes a path away from its owner", "GET "+siteHost+" /static/exit/"),
	shut("public: another project's script", "the PATH_INFO of a script below a public subtree", "GET "+siteHost+" /static/run.php/x"),
	shut("public: a short name", "Windows, which finds a directory by its short name", "GET "+siteHost+" /static/ADMIN~1/x"),
	shut("public: another host", "paths that are public on every host", "GET cdn.acme.example /robots.txt"),
	shut("public: a host below", "hosts that nobody has named", "GET x.www.site.example /robots.txt"),
	shut("public: a host of two Groups", "a Group that opens what is another's", "GET shared.example /x"),
	shut("public: a suspended Group", "a suspended Group that is served further", "GET off.example /x"),
	shut("public: a frozen Group", "a frozen Group that is served further", "GET cold.example /x"),
	{name: "public: a name that two Groups have", guards: "a project that is taken for another Group's of the same name", project: "web",
		request: "GET any.example /robots.txt", world: worldPublic, want: decision.KeyMissing},
	{name: "public: an allowed page without a key", guards: "pages of a project with public paths that need no key for the others",
		request: "GET " + siteHost + " /secret", headers: []string{"Origin: " + acmePage}, readable: acmePage, world: worldPublic, want: decision.KeyMissing},

	{name: "public: an unknown key", guards: "bad keys that nobody notices where none is needed", request: "GET " + siteHost + " /robots.txt",
		headers: bearer("unknown"), world: worldPublic, want: decision.KeyUnknown},
	{name: "public: a malformed key", guards: "keys that are cut off, and work until they are needed", request: "GET " + siteHost + " /robots.txt",
		headers: []string{"X-Api-Key: vctrl_1"}, world: worldPublic, want: decision.KeyMalformed},
	{name: "public: a key of another Group", guards: "keys that open what is another's because strangers may read it",
		request: "GET " + siteHost + " /robots.txt", headers: bearer("good"), world: worldPublic, want: decision.ProjectUnknown},
	{name: "public: an expired key", guards: "a holder who does not hear that the key has expired", request: "GET " + siteHost + " /health",
		headers: bearer("expired"), world: worldPublic, want: decision.KeyExpired},
	{name: "public: too many", guards: "floods of requests that nobody is accountable for", request: "GET " + siteHost + " /robots.txt", client: failingIPv4,
		world: worldPublic, want: decision.RateLimited},
	{name: "public: too many of an IPv6 network", guards: "floods from all addresses of one client", request: "GET " + siteHost + " /health", client: failingIPv6,
		world: worldPublic, want: decision.RateLimited},
	{name: "public: too many, for what needs a key", guards: "a limit of public requests that replaces the reason why others are refused",
		request: "GET " + siteHost + " /", client: failingIPv4, world: worldPublic, want: decision.KeyMissing},
	{name: "public: too many, with a key", guards: "a good key that suffers for strangers at its address", headers: bearer("good"), client: failingIPv4,
		world: worldPublic, key: "good", owner: "marketing"},
	{name: "public: a preflight", guards: "preflights that reach the content server because their path is public",
		request: "OPTIONS " + siteHost + " /static/x", headers: asks(acmePage, "GET"), readable: acmePage, world: worldPublic, want: decision.Preflight},
	{name: "public: a foreign preflight", guards: "foreign pages that get permissions for public paths", request: "OPTIONS " + siteHost + " /robots.txt",
		headers: asks("https://evil.example", "GET"), preflight: true, world: worldPublic, want: decision.OriginDenied},
}, ambiguous("public", "..", "/static/../admin/x"), ambiguous("public", "encoded ..", "/static/%2e%2e/admin/x"),
	ambiguous("public", "an encoded slash", "/static/a%2f..%2fadmin"), ambiguous("public", "two slashes", "/static//x"),
	ambiguous("public", "a parameter", "/static/x;/y"), ambiguous("public", "a dot at the end", "/static/admin./x"))

// ambiguous is a path that no content server may read as if it were below a public one.
func ambiguous(in, what, path string) []testCase {
	return []testCase{{name: in + ": " + what, guards: "a way out of a public subtree by " + what, request: "GET " + siteHost + " " + path, world: worldPublic,
		want: decision.PathAmbiguous}}
}

func publicGroups() []*syncv1.Group {
	route := func(host string, paths ...string) []*syncv1.Route {
		return []*syncv1.Route{{Hosts: []string{host}, Paths: paths}}
	}
	only := func(name, host string, state syncv1.GroupState, public ...string) *syncv1.Group {
		return &syncv1.Group{Namespace: "tenants", Name: name, State: state,
			Projects: []*syncv1.Project{{Name: "only-" + name, Routes: route(host), PublicPaths: public}}}
	}
	active := syncv1.GroupState_GROUP_STATE_ACTIVE
	return []*syncv1.Group{
		{Namespace: "tenants", Name: "site", State: active, Context: map[string]string{"bucketName": "site-media"}, Projects: []*syncv1.Project{
			{Name: "admin", Routes: route(siteHost, "/static/admin/**", "/static/run.php", "/static/exit")},
			{Name: "web", Routes: []*syncv1.Route{{Hosts: []string{siteHost, "*.pages.site.example", "shared.example"}}},
				Origins:     &syncv1.OriginPolicy{Patterns: []string{acmePage}},
				PublicPaths: []string{"/robots.txt", "/health", "/.well-known/**", "/static/**", "/run.php", "/x"}},
		}},
		only("rival", "shared.example", active),
		only("off", "off.example", syncv1.GroupState_GROUP_STATE_SUSPENDED, "/**"),
		only("cold", "cold.example", syncv1.GroupState_GROUP_STATE_FROZEN, "/**"),
		{Namespace: "tenants", Name: "lone", State: active, Projects: []*syncv1.Project{{Name: "lone", PublicPaths: []string{"/ping"}}}},
	}
}

// publicInjected returns what an upstream must see of a request without a key.
func publicInjected(owner string) []string {
	if owner == "lone" {
		return []string{"X-Keyward-Group: tenants/lone", "X-Keyward-Project: lone"}
	}
	return []string{"X-Keyward-Group: tenants/site", "X-Keyward-Project: " + owner, "X-Keyward-Context-Bucketname: site-media"}
}

// flooded is a limit of public requests that the failing clients have reached, and others do not reach while integrations are asked.
func flooded() *throttle.Throttle {
	const most = 10_000
	t := throttle.New(throttle.Config{Failures: most, IPv6Prefix: 64})
	for range most {
		t.Fail(netip.MustParseAddr(failingIPv4), now)
		t.Fail(netip.MustParseAddr(failingIPv6), now)
	}
	return t
}
