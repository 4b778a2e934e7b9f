package gateways

import (
	"fmt"
	"path/filepath"
	"testing"
)

// startCache starts an nginx that keeps responses of the server at the address, as a CDN does, and reports in X-Cache
// whether it did.
func startCache(t *testing.T, behind string) string {
	t.Helper()
	program, dir, address := installed(t, "nginx"), t.TempDir(), freeAddress(t)
	main := filepath.Join(dir, "nginx.conf")
	write(t, main, fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr error;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	proxy_cache_path %[1]s/cache keys_zone=c:1m;
	server {
		listen %[2]s;
		location / {
			proxy_pass http://%[3]s;
			proxy_set_header Host $http_host;
			proxy_cache c;
			add_header X-Cache $upstream_cache_status always;
		}
	}
}
`, dir, address, behind))
	run(t, dir, program, "-e", "stderr", "-p", dir, "-c", main)
	waitFor(t, address)
	return address
}

// asked is a request through a cache.
type asked struct {
	target  string
	headers []string
	status  int
	cached  string // X-Cache
}

// throughCaches are what content servers say that should be kept, each with requests in order.
var throughCaches = []struct {
	name  string
	asked []asked
}{
	{"an age", fillAndRead("/media/1?say-cache-control=max-age%3D3600")},
	{"public", fillAndRead("/media/2?say-cache-control=public,max-age%3D3600,s-maxage%3D3600")},
	{"Expires", fillAndRead("/media/3?say-expires=Thu,%2001%20Jan%202099%2000:00:00%20GMT")},
	{"X-Accel-Expires", fillAndRead("/media/4?say-x-accel-expires=3600")},
	{"X-Accel-Expires, and all else",
		fillAndRead("/media/5?say-x-accel-expires=3600&say-cache-control=public,max-age%3D3600&say-surrogate-control=max-age%3D3600&say-vary=accept")},
	{"two lines of Cache-Control", fillAndRead("/media/6?say-cache-control=max-age%3D3600&say-cache-control=public")},
	{"Shared", []asked{
		{"/media/7?say-cache-control=max-age%3D3600", []string{"X-Api-Key: {shared}"}, 200, "MISS"},
		{"/media/7?say-cache-control=max-age%3D3600", []string{"X-Api-Key: {shared}"}, 200, "HIT"},
		{"/media/7?say-cache-control=max-age%3D3600", nil, 401, "MISS"},
		{"/media/7?say-cache-control=max-age%3D3600", []string{"X-Api-Key: garbage"}, 401, "MISS"},
		{"/media/7?say-cache-control=max-age%3D3600", []string{"X-Api-Key: {shared}", "Referer: https://evil.example/"}, 403, "MISS"},
		{"/media/7?say-cache-control=max-age%3D3600", []string{"X-Api-Key: {shared}", "Origin: https://evil.example"}, 403, "MISS"},
		{"/media/7?say-cache-control=max-age%3D3600", []string{"Authorization: Bearer {shared}"}, 200, "MISS"},
		{"/media/7?say-cache-control=max-age%3D3600", []string{"X-Api-Key: {shared}"}, 200, "HIT"},
	}},
	{"Shared, and the content server varies, too", []asked{
		{"/media/8?say-cache-control=max-age%3D3600&say-vary=accept", []string{"X-Api-Key: {shared}", "Accept: a"}, 200, "MISS"},
		{"/media/8?say-cache-control=max-age%3D3600&say-vary=accept", []string{"X-Api-Key: {shared}", "Accept: a"}, 200, "HIT"},
		{"/media/8?say-cache-control=max-age%3D3600&say-vary=accept", []string{"X-Api-Key: {shared}", "Accept: b"}, 200, "MISS"},
		{"/media/8?say-cache-control=max-age%3D3600&say-vary=accept", []string{"Accept: a"}, 401, "MISS"},
	}},
	{"Shared, and nothing said", []asked{
		{"/media/9", []string{"X-Api-Key: {shared}"}, 200, "MISS"},
		{"/media/9", []string{"X-Api-Key: {shared}"}, 200, "MISS"},
	}},
}

// fillAndRead fills a cache with the response to a key, and repeats the request with the key, without it, with another key,
// and from another origin.
func fillAndRead(target string) []asked {
	return []asked{
		{target, []string{"X-Api-Key: {key}"}, 200, "MISS"},
		{target, []string{"X-Api-Key: {key}"}, 200, "MISS"},
		{target, nil, 401, "MISS"},
		{target, []string{"X-Api-Key: garbage"}, 401, "MISS"},
		{target, []string{"X-Api-Key: {key}", "Referer: https://evil.example/"}, 403, "MISS"},
		{target, []string{"X-Api-Key: {key}", "Origin: " + page}, 200, "MISS"},
		{target, []string{"X-Api-Key: {key}", "Origin: https://evil.example"}, 403, "MISS"},
		{target, []string{"Authorization: Bearer {key}"}, 200, "MISS"},
		{target, nil, 401, "MISS"},
	}
}

// TestCachesInFront puts a real cache in front of each gateway and of the reverse proxy: what was fetched with a key is
// for nobody else.
func TestCachesInFront(t *testing.T) {
	for _, g := range append([]gateway{own}, gateways...) {
		t.Run(g.name, func(t *testing.T) {
			w := newWorld(t)
			behind := g.start(t, w)
			waitFor(t, behind)
			cache := startCache(t, behind)
			for _, c := range throughCaches {
				t.Run(c.name, func(t *testing.T) {
					for i, a := range c.asked {
						if g.keepsNothing && a.cached == "HIT" {
							a.cached = "MISS"
						}
						got := w.roundTrip(t, cache, testCase{target: a.target, headers: a.headers})
						if got.status != a.status || got.header.Get("X-Cache") != a.cached {
							t.Errorf("request %d, %q: %d %s, want %d %s; %v", i, a.headers, got.status, got.header.Get("X-Cache"),
								a.status, a.cached, got.header)
						}
					}
				})
			}
		})
	}
}
