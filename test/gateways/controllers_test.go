package gateways

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// controller is an ingress controller or a gateway that writes a configuration for nginx. It cannot be run here, but nginx
// can, with the directives that the controller writes for its kit.
type controller struct {
	name          string
	site          func(t *testing.T, w *world) string // what is within http {}
	refusesSpoofs bool                                // because nginx cannot remove headers by prefix
	knowsClient   bool
}

var controllers = []controller{
	{"ingress-nginx", ingressSite, true, true},
	{"NGINX Gateway Fabric", fabricSite, false, false},
}

// document reads the first object of a kit.
func document(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../config/gateways", path))
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Split(string(text), "\n---\n")[1]
	if err := yaml.Unmarshal([]byte(first), into); err != nil {
		t.Fatal(err)
	}
}

// variable is nginx's name of a header.
func variable(prefix, name string) string {
	return prefix + strings.ToLower(strings.ReplaceAll(name, "-", "_"))
}

// ingressSite has the directives of ingress-nginx's template for the annotations of the kit.
func ingressSite(t *testing.T, w *world) string {
	t.Helper()
	var ingress networkingv1.Ingress
	document(t, "ingress-nginx/keyward.yaml", &ingress)
	annotation := func(name string) string { return ingress.Annotations["nginx.ingress.kubernetes.io/"+name] }
	_, path, _ := strings.Cut(strings.TrimPrefix(annotation("auth-url"), "http://"), "/")
	var headers strings.Builder
	for i, name := range strings.Split(annotation("auth-response-headers"), ",") {
		name = strings.TrimSpace(name)
		fmt.Fprintf(&headers, "auth_request_set $authHeader%d $%s; proxy_set_header '%s' $authHeader%[1]d;\n", i,
			variable("upstream_http_", name), name)
	}
	return fmt.Sprintf(`
map $http_x_request_id $req_id { default $http_x_request_id; "" $request_id; }
map $http_host $best_http_host { default $http_host; "" $host; }
upstream upstream_balancer { server %[1]s; keepalive 32; }
server {
	listen LISTEN;
	location = /_external-auth-Lw {
		internal;
		proxy_pass_request_body off;
		proxy_set_header Content-Length "";
		proxy_set_header X-Forwarded-Proto "";
		proxy_set_header X-Request-ID $req_id;
		proxy_set_header Host keyward-validator;
		proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
		proxy_set_header X-Original-Method $request_method;
		proxy_set_header X-Sent-From "nginx-ingress-controller";
		proxy_set_header X-Real-IP $remote_addr;
		proxy_set_header X-Forwarded-For $remote_addr;
		proxy_set_header X-Auth-Request-Redirect $request_uri;
		proxy_pass_request_headers on;
		proxy_http_version 1.1;
		set $target http://%[2]s/%[3]s;
		proxy_pass $target;
	}
	location / {
		auth_request /_external-auth-Lw;
		auth_request_set $auth_cookie $upstream_http_set_cookie;
		add_header Set-Cookie $auth_cookie;
		%[4]s
		proxy_set_header Host $best_http_host;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection %[5]s;
		proxy_set_header X-Request-ID $req_id;
		proxy_set_header X-Real-IP $remote_addr;
		proxy_set_header X-Forwarded-For $remote_addr;
		proxy_set_header X-Forwarded-Host $best_http_host;
		proxy_set_header X-Forwarded-Port 80;
		proxy_set_header X-Forwarded-Proto $scheme;
		proxy_set_header X-Forwarded-Scheme $scheme;
		proxy_set_header X-Scheme $scheme;
		proxy_set_header Proxy "";
		proxy_http_version 1.1;
		proxy_pass http://upstream_balancer;
	}
}`, w.content, w.keyward, path, headers.String(), annotation("connection-proxy-header"))
}

// fabricSite has the directives that NGINX Gateway Fabric writes for the filter ExternalAuth of the kit.
func fabricSite(t *testing.T, w *world) string {
	t.Helper()
	var route struct {
		Spec struct {
			Rules []struct {
				Filters []struct {
					ExternalAuth *struct {
						HTTP struct {
							Path                                   string
							AllowedHeaders, AllowedResponseHeaders []string
						}
					}
					RequestHeaderModifier struct {
						Set    []struct{ Name, Value string }
						Remove []string
					}
				}
			}
		}
	}
	document(t, "nginx-gateway-fabric/keyward.yaml", &route)
	var asked, sent strings.Builder
	path := ""
	for _, filter := range route.Spec.Rules[0].Filters {
		for _, name := range filter.RequestHeaderModifier.Remove {
			fmt.Fprintf(&sent, "proxy_set_header %s \"\";\n", name)
		}
		for _, header := range filter.RequestHeaderModifier.Set {
			fmt.Fprintf(&sent, "proxy_set_header %s \"%s\";\n", header.Name, header.Value)
		}
		if filter.ExternalAuth == nil {
			continue
		}
		path = filter.ExternalAuth.HTTP.Path
		for _, name := range filter.ExternalAuth.HTTP.AllowedHeaders {
			fmt.Fprintf(&asked, "proxy_set_header %s $%s;\n", name, variable("http_", name))
		}
		for _, name := range filter.ExternalAuth.HTTP.AllowedResponseHeaders {
			fmt.Fprintf(&sent, "auth_request_set $%s $%s; proxy_set_header %s $%[1]s;\n", variable("ext_auth_", name),
				variable("upstream_http_", name), name)
		}
	}
	return fmt.Sprintf(`
map $http_host $gw_api_compliant_host { default $http_host; "" $host; }
map $http_upgrade $connection_upgrade { default upgrade; "" close; }
server {
	listen LISTEN;
	location = /_ngf_external_auth {
		internal;
		proxy_pass http://%[2]s%[3]s;
		proxy_pass_request_headers off;
		proxy_pass_request_body off;
		proxy_set_header Content-Length "";
		proxy_set_header Host $gw_api_compliant_host;
		proxy_set_header Path $request_uri;
		proxy_set_header Method $request_method;
		proxy_set_header Authorization $http_authorization;
		%[4]s
	}
	location / {
		auth_request /_ngf_external_auth;
		%[5]s
		proxy_set_header Host $gw_api_compliant_host;
		proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		proxy_set_header X-Real-IP $remote_addr;
		proxy_set_header X-Forwarded-Proto $scheme;
		proxy_set_header X-Forwarded-Host $host;
		proxy_set_header X-Forwarded-Port $server_port;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection $connection_upgrade;
		proxy_http_version 1.1;
		proxy_pass http://%[1]s$request_uri;
	}
}`, w.content, w.keyward, path, asked.String(), sent.String())
}

// start runs nginx with the directives, and the controllers' defaults.
func (c *controller) start(t *testing.T, w *world) string {
	t.Helper()
	program, dir, address := installed(t, "nginx"), t.TempDir(), freeAddress(t)
	main := filepath.Join(dir, "nginx.conf")
	write(t, main, fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr error;
events { worker_connections 1024; }
http {
	access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	ignore_invalid_headers on; underscores_in_headers off;
	proxy_headers_hash_max_size 2048; proxy_headers_hash_bucket_size 128; variables_hash_max_size 4096; variables_hash_bucket_size 128;
	%[2]s
}
`, dir, strings.Replace(c.site(t, w), "LISTEN", address, 1)))
	run(t, dir, program, "-e", "stderr", "-p", dir, "-c", main)
	waitFor(t, address)
	return address
}

// TestControllers sends requests through nginx as each controller configures it.
func TestControllers(t *testing.T) {
	key := "Authorization: Bearer {key}"
	for _, c := range controllers {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			address := c.start(t, w)
			for _, e := range []testCase{
				{name: "allowed", headers: []string{key, "Cookie: stays"}, status: 200, seen: map[string]string{"X-Keyward-Group": "tenants/acme",
					"X-Keyward-Context-Bucketname": "acme-media", "Authorization": "", "X-Api-Key": "", "Cookie": "stays", headerTarget: "/media/1"}},
				{name: "another key header", headers: []string{"X-Api-Key: {key}"}, status: 200, seen: map[string]string{"X-Api-Key": ""}},
				{name: "a query", target: "/media/1?project=x&a=%2f", headers: []string{key}, status: 200,
					seen: map[string]string{headerTarget: "/media/1?project=x&a=%2f", "X-Keyward-Project": "media"}},
				{name: "a referrer", headers: []string{key, "Referer: " + page + "/embed?x"}, status: 200,
					seen: map[string]string{"Referer": page + "/embed?x"}},
				{name: "a referrer with a key", headers: []string{key, "Referer: " + page + "/embed?x&token={embed}&y"}, status: 200,
					seen: map[string]string{"Referer": page + "/embed?x&y"}},
				{name: "a referrer with a key alone", headers: []string{key, "Referer: " + page + "/embed?%74oken={embed}"}, status: 200,
					seen: map[string]string{"Referer": page + "/embed"}},
				{name: "a referrer with a token", headers: []string{key, "Referer: " + page + "/embed?keyward-token={signed}"}, status: 200,
					seen: map[string]string{"Referer": page + "/embed"}},
				{name: "for whom it is forwarded", headers: []string{key, "Forwarded: for=198.51.100.7;host=evil.example"}, status: 200,
					seen: map[string]string{"Forwarded": map[bool]string{false: "for=unknown"}[c.knowsClient]}},
				{name: "a percent sign", target: "/media/100%25.pdf", headers: []string{key}, status: 200,
					seen: map[string]string{headerTarget: "/media/100%25.pdf"}},
				{name: "no key", status: 401, response: map[string]string{"WWW-Authenticate": `Bearer realm="keyward"`}},
				{name: "foreign origin", headers: []string{key, "Origin: https://evil.example"}, status: 403},
				{name: "a write", method: "POST", headers: []string{key, "Content-Length: 0"}, status: 403},
				{name: "quota exceeded", headers: []string{"Authorization: Bearer {spent}"}, status: 403},
				{name: "dot segments", target: "/media/x/../1", headers: []string{key}, status: 403},
				{name: "encoded slash", target: "/media/a%2fb", headers: []string{key}, status: 403},
				{name: "fragment", target: "/media/1#/x", headers: []string{key}, status: 403},
				{name: "two slashes", target: "//media/1", headers: []string{key}, status: 403},
				{name: "another project's path", target: "/other", headers: []string{key, "X-Original-URL: http://cdn.acme.example/media/1",
					"X-Original-URI: /media/1", "X-Forwarded-Uri: /media/1", "Path: /media/1", "X-Auth-Request-Redirect: /media/1"}, status: 403},
				{name: "another method", method: "POST", headers: []string{key, "X-Original-Method: GET", "Method: GET", "X-HTTP-Method-Override: GET",
					"Content-Length: 0"}, status: 403},
				{name: "a target with a host", target: "http://cdn.acme.example/media/1", headers: []string{key}, status: 200,
					seen: map[string]string{headerTarget: "/media/1", headerHost: "cdn.acme.example"}},
				{name: "a target with a host and no path", target: "http://cdn.acme.example?/media/1", headers: []string{key}, status: 403},
				{name: "preflight", method: "OPTIONS", headers: []string{"Origin: " + page, "Access-Control-Request-Method: GET"}, status: 403},
			} {
				t.Run(e.name, func(t *testing.T) {
					got := w.roundTrip(t, address, e)
					if got.status != e.status || (got.seen != nil) != (e.status == 200) {
						t.Fatalf("%d, the content server sees %v", got.status, got.seen)
					}
					for name, want := range e.seen {
						if lines := strings.Join(got.seen[name], "|"); lines != want {
							t.Errorf("the content server sees %s: %q, want %q", name, lines, want)
						}
					}
					for name, want := range e.response {
						if got.header.Get(name) != want {
							t.Errorf("%s: %q", name, got.header.Get(name))
						}
					}
				})
			}
			t.Run("failures", func(t *testing.T) {
				got := w.roundTrip(t, address, testCase{headers: []string{"Client: failing", "X-Forwarded-For: 198.51.100.7", "X-Real-IP: 198.51.100.7"}})
				if want := map[bool]int{true: http.StatusForbidden, false: http.StatusUnauthorized}[c.knowsClient]; got.status != want {
					t.Errorf("%d", got.status)
				}
			})
			t.Run("spoofed context", func(t *testing.T) {
				got := w.roundTrip(t, address, testCase{headers: []string{key, "X-Keyward-Group: evil", "X-Keyward-Context-Bucketname: evil",
					"X-Keyward-Principal: evil", "X_Keyward_Tier: evil"}})
				if c.refusesSpoofs != (got.status == http.StatusForbidden) || strings.Contains(fmt.Sprint(got.seen), "evil") {
					t.Errorf("%d, the content server sees %v", got.status, got.seen)
				}
			})
			t.Run("overrides", func(t *testing.T) { c.removes(t, w, address) })
			t.Run("hosts", func(t *testing.T) { c.readsHosts(t, w, address) })
		})
	}
}

// removes: none of the headers by which a content server would use another request reaches it.
func (c *controller) removes(t *testing.T, w *world, address string) {
	t.Helper()
	for _, name := range httpapi.UnusualNames() {
		if strings.HasSuffix(name, "-") || !httpapi.IsOverride(name) {
			continue
		}
		got := w.roundTrip(t, address, testCase{headers: []string{"Authorization: Bearer {key}", name + ": evil", strings.ReplaceAll(name, "-", "_") + ": evil"}})
		if got.status != http.StatusOK || strings.Contains(fmt.Sprint(got.seen), "evil") {
			t.Errorf("%s: %d, the content server sees %v", name, got.status, got.seen)
		}
	}
}

// readsHosts: nginx accepts nearly any Host, and puts it in front of the target. None of them makes another path be decided on.
func (c *controller) readsHosts(t *testing.T, w *world, address string) {
	t.Helper()
	for _, host := range []string{"cdn.acme.example?x=", "cdn.acme.example#", "cdn.acme.example?x=/media/1", "cdn.acme.example:80?",
		"x@cdn.acme.example", `cdn.acme.example\x`, "cdn.acme.example,evil.example", "cdn.acme.example;x", "evil.example", ""} {
		got := w.roundTrip(t, address, testCase{host: host, hasHost: true, headers: []string{"Authorization: Bearer {key}"}})
		if got.status == http.StatusOK || got.seen != nil {
			t.Errorf("Host %q: %d, the content server sees %v", host, got.status, got.seen)
		}
	}
}
