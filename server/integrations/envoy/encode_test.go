package envoy

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// encodeWithProtobuf is encode, implemented by protobuf.
func encodeWithProtobuf(r *reply) *authv3.CheckResponse {
	response := &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(r.status), Message: r.message},
		DynamicMetadata: &structpb.Struct{Fields: map[string]*structpb.Value{}},
	}
	for _, m := range r.metadata {
		if m.Name != "" {
			response.DynamicMetadata.Fields[m.Name] = structpb.NewStringValue(m.Value)
		}
	}
	set := make([]*corev3.HeaderValueOption, 0, len(r.set))
	for _, h := range r.set {
		set = append(set, option(h, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	if r.denial != 0 {
		response.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(r.denial)}, Headers: set, Body: string(r.body),
		}}
		return response
	}
	ok := &authv3.OkHttpResponse{Headers: set, HeadersToRemove: r.remove}
	added := r.added
	if r.own {
		added = append(slices.Clone(added), privately...)
	}
	for _, a := range added {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, option(a.Header, a.action))
	}
	response.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: ok}
	return response
}

func option(h httpapi.Header, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: h.Name, Value: h.Value}, AppendAction: action}
}

// decode returns what Envoy reads in a response.
func decode(t testing.TB, a *checkResponse) *authv3.CheckResponse {
	t.Helper()
	response := &authv3.CheckResponse{}
	if err := proto.Unmarshal(*a, response); err != nil {
		t.Fatal(err)
	}
	return response
}

// FuzzEncode makes a reply of lines: the hand-written encoding equals protobuf's, except for the order of a map.
func FuzzEncode(f *testing.F) {
	f.Add(0, 0, "", "X-Keyward-Group: tenants/acme\nX-Request-Id: 1", "authorization\nx-keyward-group",
		"group: tenants/acme\ncode: allowed", []byte(nil))
	f.Add(16, 401, "key_unknown", "Content-Type: application/problem+json", "", "code: key_unknown", []byte(strings.Repeat("{}", 200)))
	f.Add(7, 403, "", strings.Repeat("X: y\n", 100)+"Z: "+strings.Repeat("z", 20_000), strings.Repeat("x", 1<<14), ": \n: x",
		[]byte{0xc3, 0xa9})
	f.Fuzz(func(t *testing.T, status, denial int, message, set, remove, metadata string, body []byte) {
		for _, text := range []string{message, set, remove, metadata, string(body)} {
			if !utf8.ValidString(text) {
				return // such text is never encoded
			}
		}
		r := &reply{status: codes.Code(uint8(status)), message: message, denial: int(uint16(denial)), own: denial%2 == 0, body: body}
		for line := range strings.Lines(set) {
			name, value, _ := strings.Cut(line, ": ")
			r.set = append(r.set, httpapi.Header{Name: name, Value: value})
			r.added = append(r.added, addition{httpapi.Header{Name: value, Value: name},
				corev3.HeaderValueOption_HeaderAppendAction(len(line) % 4)})
		}
		for name := range strings.Lines(remove) {
			r.remove = append(r.remove, name)
		}
		i := 0
		for line := range strings.Lines(metadata) {
			name, value, _ := strings.Cut(line, ": ")
			if i < len(r.metadata) && !slices.ContainsFunc(r.metadata[:], func(h httpapi.Header) bool { return h.Name == name }) {
				r.metadata[i] = httpapi.Header{Name: name, Value: value}
				i++
			}
		}
		got, want := encode(r), encodeWithProtobuf(r)
		if !proto.Equal(decode(t, got), want) || len(*got) != proto.Size(want) {
			t.Fatalf("%q:\ngot  %v\nwant %v", *got, decode(t, got), want)
		}
	})
}

// readWithProtobuf returns a request that only protobuf has read.
func readWithProtobuf(message []byte) (*checkRequest, error) {
	check := &authv3.CheckRequest{}
	if err := proto.Unmarshal(message, check); err != nil {
		return nil, err
	}
	q := newCheckRequest()
	q.read(check)
	return q, nil
}

// relevant returns the part of the header that parse keeps, of what protobuf reads. Lines of a map have no order.
func relevant(header http.Header) http.Header {
	kept := http.Header{}
	for name, lines := range header {
		if canonical, ok := new(checkRequest).relevantHeader(name); name != "" && canonical == name || !ok {
			kept[name] = slices.Sorted(slices.Values(lines))
		}
	}
	return kept
}

// TestRelevantHeader: the headers that a decision may depend on are kept. They are listed here because FuzzParse uses
// relevantHeader itself.
func TestRelevantHeader(t *testing.T) {
	for _, name := range []string{
		"Authorization", "X-Api-Key", "Origin", "Referer", "Access-Control-Request-Method", "X-Request-Id", "X-Forwarded-For", "Forwarded",
		"X-Keyward-Group", "X-Keyward-Project",
	} {
		for _, written := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if canonical, ok := new(checkRequest).relevantHeader(written); canonical != name || !ok {
				t.Errorf("%s: %q %t", written, canonical, ok)
			}
		}
	}
	if canonical, ok := new(checkRequest).relevantHeader("accept-language"); canonical != "" || !ok {
		t.Errorf("accept-language: %q %t", canonical, ok)
	}
}

// FuzzParse: every message means what protobuf reads, or is refused as protobuf refuses it.
func FuzzParse(f *testing.F) {
	for _, check := range checks() {
		whole, err := proto.MarshalOptions{Deterministic: true}.Marshal(check)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(whole)
		f.Add(append(slices.Clone(whole), whole...)) // to be merged
		f.Add(whole[:len(whole)*9/10])
		f.Add(protowire.AppendBytes(protowire.AppendTag(slices.Clone(whole), 9, protowire.BytesType), []byte("later")))
		for i := 0; i < len(whole); i += 7 {
			bent := slices.Clone(whole)
			bent[i] ^= 1 << (i % 8)
			f.Add(bent)
		}
	}
	f.Add(protowire.AppendBytes([]byte{checkAttributes}, []byte{attributesMetadata, 1, 0xff}))
	f.Fuzz(func(t *testing.T, message []byte) {
		want, wantErr := readWithProtobuf(message)
		got := newCheckRequest()
		err := got.unmarshal(string(message))
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("%v, protobuf says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		for _, q := range []*checkRequest{got, want} {
			q.Header = relevant(q.Header)
		}
		if got.method != want.method || got.host != want.host || got.target != want.target || got.peer != want.peer ||
			got.project != want.project ||
			!maps.EqualFunc(got.Header, want.Header, slices.Equal) {
			t.Fatalf("got  %q %q %q %q %q %q\nwant %q %q %q %q %q %q", got.method, got.host, got.target, got.peer, got.project, got.Header,
				want.method, want.host, want.target, want.peer, want.project, want.Header)
		}
	})
}

// checks are requests of all kinds.
func checks() []*authv3.CheckRequest {
	peer := func(address string) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 50_000},
			}}},
			Principal: "spiffe://acme.example/gateway",
		}
	}
	usual := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("192.0.2.7"), Destination: peer("10.0.0.1"),
		Request: &authv3.AttributeContext_Request{
			Time: &timestamppb.Timestamp{Seconds: 1_795_000_000, Nanos: 999_999_999},
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "1234567890", Method: "GET", Path: "/api/scenes/mkt-1?quality=high", Host: "cdn.acme.example",
				Scheme: "https", Protocol: "HTTP/1.1", Size: 300,
				Headers: map[string]string{
					":authority": "cdn.acme.example", "accept": "*/*", "authorization": "Bearer x", "x-api-key": "y",
					"origin": "https://acme.example", "referer": "https://acme.example/é",
					"x-request-id": "1", "x-forwarded-for": "192.0.2.8", "x-keyward-group": "evil", "x_keyward_tier": "evil",
					"x-forwarded-proto": "https",
				},
			},
		},
		ContextExtensions: map[string]string{ProjectExtension: "marketing", "other": "x"},
		MetadataContext:   &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
		TlsSession: &authv3.AttributeContext_TLSSession{Sni: "cdn.acme.example"},
	}}
	raw := proto.CloneOf(usual)
	http := raw.Attributes.Request.Http
	http.HeaderMap = &corev3.HeaderMap{}
	for _, name := range slices.Sorted(maps.Keys(http.Headers)) {
		value := http.Headers[name]
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value),
			Value: "never"}, &corev3.HeaderValue{Key: name, Value: "again"})
	}
	both := proto.CloneOf(raw)
	http.Headers = nil
	odd := proto.CloneOf(usual)
	odd.Attributes.Source.Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/envoy"}}}
	odd.Attributes.Destination.Labels = map[string]string{"app": "x"}
	odd.Attributes.MetadataContext.FilterMetadata = map[string]*structpb.Struct{"envoy.filters.http.jwt_authn": {}}
	odd.Attributes.Request.Http.Headers["Authorization"] = "Bearer z"
	odd.Attributes.Request.Http.Headers["X-API-KEY\u212a"] = "z"
	routed := proto.CloneOf(usual)
	routed.Attributes.ContextExtensions, routed.Attributes.RouteMetadataContext = nil, routeOf("marketing")
	return []*authv3.CheckRequest{usual, raw, both, odd, routed, {},
		{Attributes: &authv3.AttributeContext{Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{}}}}}
}

// TestChecksOfEnvoyAreParsed: the checks that Envoy sends are not left to protobuf.
func TestChecksOfEnvoyAreParsed(t *testing.T) {
	for i, check := range checks()[:2] {
		message, err := proto.Marshal(check)
		if err != nil {
			t.Fatal(err)
		}
		if !newCheckRequest().parse(string(message)) {
			t.Errorf("check %d", i)
		}
	}
}
