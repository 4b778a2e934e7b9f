package gatewaykits

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/test/fixture"
)

// kongFile is the part of Kong's declarative configuration that the kit uses. Other fields are refused.
type kongFile struct {
	Version  string `json:"_format_version"`
	Services []struct {
		Name, URL string
		Routes    []struct {
			Name              string
			Paths             []string
			StripPath         bool `json:"strip_path"`
			PreserveHost      bool `json:"preserve_host"`
			RequestBuffering  bool `json:"request_buffering"`
			ResponseBuffering bool `json:"response_buffering"`
		}
		Plugins []struct {
			Name   string
			Config struct {
				Access       []string
				HeaderFilter []string `json:"header_filter"`
			}
		}
	}
}

func kong(t *testing.T) kongFile {
	t.Helper()
	var file kongFile
	if err := yaml.UnmarshalStrict(read(t, "config/gateways/kong/kong.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// kongRequest is a request in Kong, and what the Lua made of it.
type kongRequest struct {
	method, host, upstreamURI, query string
	headers                          map[string][]string // names in lower case
	content                          map[string][]string // headers of the content server's response, to which the Lua adds

	status   int // 0 if the request is sent on
	body     string
	response map[string]string
	sentOn   map[string][]string
}

// run runs the access phase with Kong's functions, and the phase header_filter if the request is sent on.
func (r *kongRequest) run(t *testing.T, access, headerFilter string) {
	t.Helper()
	if r.content == nil {
		r.content = map[string][]string{}
	}
	r.sentOn, r.response = map[string][]string{}, map[string]string{}
	for name, lines := range r.headers {
		r.sentOn[name] = lines
	}
	state := lua.NewState()
	defer state.Close()
	value := func(lines []string) lua.LValue {
		if len(lines) == 1 {
			return lua.LString(lines[0])
		}
		list := state.NewTable()
		for _, line := range lines {
			list.Append(lua.LString(line))
		}
		return list
	}
	table := func(functions map[string]lua.LGFunction) *lua.LTable {
		return state.SetFuncs(state.NewTable(), functions)
	}
	text := func(s string) lua.LGFunction {
		return func(l *lua.LState) int { l.Push(lua.LString(s)); return 1 }
	}
	request := table(map[string]lua.LGFunction{
		"get_method": text(r.method), "get_raw_query": text(r.query),
		"get_header": func(l *lua.LState) int {
			name := strings.ToLower(l.CheckString(1))
			lines := r.headers[name]
			if name == "host" {
				lines = []string{r.host}
			}
			if len(lines) == 0 {
				l.Push(lua.LNil)
			} else {
				l.Push(lua.LString(lines[0]))
			}
			return 1
		},
		"get_headers": func(l *lua.LState) int {
			all := state.NewTable()
			for name, lines := range r.headers {
				all.RawSetString(name, value(lines))
			}
			l.Push(all)
			return 1
		},
	})
	service := state.NewTable()
	service.RawSetString("request", table(map[string]lua.LGFunction{
		"clear_header": func(l *lua.LState) int { delete(r.sentOn, strings.ToLower(l.CheckString(1))); return 0 },
		"set_header": func(l *lua.LState) int {
			r.sentOn[strings.ToLower(l.CheckString(1))] = []string{l.CheckString(2)}
			return 0
		},
	}))
	module := state.NewTable()
	for name, member := range map[string]lua.LValue{
		"request": request, "service": service,
		"client": table(map[string]lua.LGFunction{"get_forwarded_ip": text("192.0.2.7")}),
		"response": table(map[string]lua.LGFunction{"exit": func(l *lua.LState) int {
			r.status, r.body = l.CheckInt(1), l.OptString(2, "")
			if headers, ok := l.Get(3).(*lua.LTable); ok {
				headers.ForEach(func(name, value lua.LValue) { r.response[strings.ToLower(name.String())] = value.String() })
			}
			return 0
		}, "get_header": func(l *lua.LState) int {
			if lines := r.content[strings.ToLower(l.CheckString(1))]; len(lines) > 0 {
				l.Push(lua.LString(lines[0]))
			} else {
				l.Push(lua.LNil)
			}
			return 1
		}, "set_header": func(l *lua.LState) int {
			r.content[strings.ToLower(l.CheckString(1))] = []string{l.CheckString(2)}
			return 0
		}, "add_header": func(l *lua.LState) int {
			name := strings.ToLower(l.CheckString(1))
			r.content[name] = append(r.content[name], l.CheckString(2))
			return 0
		}}),
	} {
		module.RawSetString(name, member)
	}
	ctx := state.NewTable()
	ctx.RawSetString("plugin", state.NewTable())
	module.RawSetString("ctx", ctx)
	state.SetGlobal("kong", module)
	ngx, variables := state.NewTable(), state.NewTable()
	variables.RawSetString("upstream_uri", lua.LString(r.upstreamURI))
	ngx.RawSetString("var", variables)
	state.SetGlobal("ngx", ngx)
	state.PreloadModule("resty.http", func(l *lua.LState) int {
		l.Push(table(map[string]lua.LGFunction{"new": func(l *lua.LState) int {
			l.Push(table(map[string]lua.LGFunction{"set_timeout": func(*lua.LState) int { return 0 }, "request_uri": requestURI}))
			return 1
		}}))
		return 1
	})
	if err := state.DoString(access); err != nil {
		t.Fatal(err)
	}
	if r.status != 0 {
		return
	}
	if err := state.DoString(headerFilter); err != nil {
		t.Fatal(err)
	}
}

// requestURI is request_uri of lua-resty-http: a header that is a list is sent on as many lines, and the names of the response's
// headers have no case.
func requestURI(l *lua.LState) int {
	options := l.CheckTable(3)
	request, err := http.NewRequest(options.RawGetString("method").String(), l.CheckString(2), http.NoBody)
	if err != nil {
		l.RaiseError("%v", err)
	}
	headers, _ := options.RawGetString("headers").(*lua.LTable)
	headers.ForEach(func(name, value lua.LValue) {
		if list, ok := value.(*lua.LTable); ok {
			list.ForEach(func(_, line lua.LValue) { request.Header.Add(name.String(), line.String()) })
			return
		}
		request.Header.Add(name.String(), value.String())
	})
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.Push(lua.LNil)
		return 1
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		l.RaiseError("%v", err)
	}
	answer, found, meta := l.NewTable(), l.NewTable(), l.NewTable()
	for name, lines := range response.Header {
		found.RawSetString(name, lua.LString(strings.Join(lines, ", ")))
	}
	meta.RawSetString("__index", l.NewFunction(func(l *lua.LState) int {
		l.Push(lua.LNil)
		for name, lines := range response.Header {
			if strings.EqualFold(name, l.CheckString(2)) {
				l.Push(lua.LString(strings.Join(lines, ", ")))
			}
		}
		return 1
	}))
	l.SetMetatable(found, meta)
	answer.RawSetString("status", lua.LNumber(response.StatusCode))
	answer.RawSetString("body", lua.LString(body))
	answer.RawSetString("headers", found)
	l.Push(answer)
	return 1
}

// TestKong runs the Lua of the kit with a real validation server.
func TestKong(t *testing.T) {
	file := kong(t)
	route, plugin := file.Services[0].Routes[0], file.Services[0].Plugins[0]
	if route.StripPath || !route.PreserveHost || !slices.Equal(route.Paths, []string{"/"}) || plugin.Name != "pre-function" {
		t.Errorf("the route is %+v, the plugin %s", route, plugin.Name)
	}
	key, retiring := fixture.Mint(t), fixture.Mint(t)
	update := fixture.Update(key)
	update.Groups[0].Projects[0].Origins.Patterns = []string{"https://www.acme.example"}
	digest, retires := retiring.Digest(), time.Now().Add(time.Hour).Truncate(time.Second)
	update.Keys = append(update.Keys, &syncv1.Key{Id: "retiring", Group: fixture.GroupID, Projects: []string{"default"}, Permissions: []string{"read"},
		Versions: []*syncv1.Version{{Digest: digest[:], RetiresAtMs: retires.UnixMilli()}}})
	update.Groups[0].Context = map[string]string{"database": "acme_prod"}
	mux := http.NewServeMux()
	update.Groups[0].AcceptIn = []syncv1.KeyLocation{syncv1.KeyLocation_KEY_LOCATION_QUERY, syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL}
	locations := credential.New(credential.Config{Parameters: []string{"token"}})
	forwardauth.Register(mux, fixture.Authorizer(t, update, authorizer.WithKeys(locations)), nil)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	code := strings.Replace(plugin.Config.Access[0], "http://127.0.0.1:8081", server.URL, 1)
	ask := func(t *testing.T, changed kongRequest) *kongRequest {
		t.Helper()
		r := &changed
		if r.method == "" {
			r.method = http.MethodGet
		}
		r.host = "cdn.acme.example"
		if r.upstreamURI == "" {
			r.upstreamURI = "/x"
		}
		r.run(t, code, plugin.Config.HeaderFilter[0])
		return r
	}
	good := func(more ...string) map[string][]string {
		headers := map[string][]string{"x-api-key": {key.Reveal()}}
		for i := 0; i < len(more); i += 2 {
			headers[more[i]] = append(headers[more[i]], more[i+1])
		}
		return headers
	}

	t.Run("allowed", func(t *testing.T) {
		r := ask(t, kongRequest{query: "a=b", headers: good("x-keyward-group", "evil", "x_keyward_tier", "evil", "x-keyward-anything", "evil",
			"x-request-id", "mine", "cookie", "stays", "authorization", "Basic dTpw")})
		if r.status != 0 || r.sentOn["x-keyward-group"][0] != "tenants/acme" || r.sentOn["x-keyward-context-database"][0] != "acme_prod" ||
			r.sentOn["x-request-id"][0] != "mine" || r.sentOn["cookie"] == nil || r.sentOn["authorization"] == nil {
			t.Errorf("%d %s, sent on %v", r.status, r.body, r.sentOn)
		}
		for _, name := range []string{"x-api-key", "x_keyward_tier", "x-keyward-anything", "x-keyward-caching"} {
			if r.sentOn[name] != nil {
				t.Errorf("the content server sees %s", name)
			}
		}
	})
	t.Run("the key in Authorization", func(t *testing.T) {
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(key.Reveal()+":"))
		for _, value := range []string{"Bearer " + key.Reveal(), "bearer " + key.Reveal(), key.Reveal(), basic} {
			r := ask(t, kongRequest{headers: map[string][]string{"authorization": {value}}})
			if r.status != 0 || r.sentOn["authorization"] != nil {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
	})
	t.Run("an app's own token", func(t *testing.T) {
		session := "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
		r := ask(t, kongRequest{headers: good("authorization", session)})
		if r.status != 0 || !slices.Equal(r.sentOn["authorization"], []string{session}) {
			t.Errorf("%d %s, sent on %v", r.status, r.body, r.sentOn["authorization"])
		}
	})
	t.Run("a key in the URL of a page", func(t *testing.T) {
		for referer, want := range map[string]string{"https://www.acme.example/embed?x&token=" + key.Reveal(): "https://www.acme.example/embed?x",
			"https://www.acme.example/embed?x": "https://www.acme.example/embed?x"} {
			r := ask(t, kongRequest{headers: good("referer", referer)})
			if r.status != 0 || !slices.Equal(r.sentOn["referer"], []string{want}) {
				t.Errorf("%d, sent on %v", r.status, r.sentOn["referer"])
			}
		}
		if r := ask(t, kongRequest{headers: good()}); r.sentOn["referer"] != nil {
			t.Errorf("sent on %v", r.sentOn["referer"])
		}
	})
	t.Run("what clients get with content", func(t *testing.T) {
		overlap := func(content map[string][]string) kongRequest {
			return kongRequest{headers: map[string][]string{"x-api-key": {retiring.Reveal()}}, content: content}
		}
		r := ask(t, overlap(map[string][]string{"vary": {"accept"}}))
		if r.status != 0 || len(r.content["vary"]) != 2 || !slices.Contains(r.content["cache-control"], "private") || len(r.content["x-request-id"]) != 1 ||
			!slices.Equal(r.content["sunset"], []string{retires.UTC().Format(http.TimeFormat)}) || len(r.content["deprecation"]) != 1 ||
			!strings.HasPrefix(r.content["deprecation"][0], "@") {
			t.Errorf("%d %s, %v", r.status, r.body, r.content)
		}
		for name, other := range map[string]string{"deprecation": "sunset", "sunset": "deprecation"} {
			r := ask(t, overlap(map[string][]string{name: {"theirs"}}))
			if !slices.Equal(r.content[name], []string{"theirs"}) || r.content[other] != nil {
				t.Errorf("the content server speaks of its own content: %v", r.content)
			}
		}
		if r := ask(t, kongRequest{headers: good()}); r.content["deprecation"] != nil || r.content["sunset"] != nil {
			t.Errorf("of another key: %v", r.content)
		}
	})
	t.Run("what is removed", func(t *testing.T) {
		headers := good()
		for _, name := range httpapi.UnusualNames() {
			if strings.HasSuffix(name, "-") {
				name += "anything"
			}
			headers[name], headers[strings.ReplaceAll(name, "-", "_")] = []string{"evil"}, []string{"evil"}
		}
		r := ask(t, kongRequest{headers: headers})
		for name, lines := range r.sentOn {
			if slices.Contains(lines, "evil") {
				t.Errorf("the content server sees %s", name)
			}
		}
		if r.status != 0 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	for name, c := range map[string]struct {
		request kongRequest
		code    string
	}{
		"no key":           {kongRequest{}, "key_missing"},
		"a key in the URL": {kongRequest{query: "token=" + key.Reveal()}, "key_location_denied"},
		"a key as a subprotocol": {kongRequest{headers: map[string][]string{"sec-websocket-protocol": {"keyward.key." + key.Reveal()}}},
			"key_location_denied"},
		"two keys":        {kongRequest{headers: map[string][]string{"x-api-key": {key.Reveal(), key.Reveal()}}}, "key_malformed"},
		"a write":         {kongRequest{method: http.MethodDelete, headers: good("x-http-method-override", "GET")}, "permission_denied"},
		"what is sent on": {kongRequest{upstreamURI: "/a/../b", headers: good()}, "path_ambiguous"},
		"a query":         {kongRequest{query: "x=1#y", headers: good()}, "query_ambiguous"},
		"another method":  {kongRequest{method: http.MethodPost, headers: good("x-forwarded-method", "GET")}, "permission_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, c.request)
			var problem httpapi.Problem
			if err := json.Unmarshal([]byte(r.body), &problem); err != nil {
				t.Fatalf("%d %q: %v", r.status, r.body, err)
			}
			if problem.Code != c.code || r.status != problem.Status || r.response["x-request-id"] == "" || r.response["x-keyward-status"] != "" {
				t.Errorf("%d %+v, %v", r.status, problem, r.response)
			}
		})
	}
	t.Run("no validation server", func(t *testing.T) {
		r := &kongRequest{method: http.MethodGet, host: "h", upstreamURI: "/x", headers: good()}
		r.run(t, strings.Replace(plugin.Config.Access[0], "127.0.0.1:8081", "127.0.0.1:1", 1), plugin.Config.HeaderFilter[0])
		if r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "validator_away") {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}
