package gateways

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/envoy"
)

// envoyConfig reads the configuration as Envoy does: it refuses unknown fields.
func envoyConfig(t *testing.T, replacements ...string) (*bootstrapv3.Bootstrap, error) {
	t.Helper()
	text, err := yaml.YAMLToJSONStrict([]byte(shipped(t, "envoy/envoy.yaml", replacements...)))
	if err != nil {
		t.Fatal(err)
	}
	config := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(text, config); err != nil {
		return nil, err
	}
	return config, visit(config.ProtoReflect(), func(proto.Message) {})
}

// visit visits every message in a message, also those in an Any, and validates each by the rules that its authors have
// published with it.
func visit(message protoreflect.Message, show func(proto.Message)) error {
	m := message.Interface()
	if checked, ok := m.(interface{ ValidateAll() error }); ok {
		if err := checked.ValidateAll(); err != nil {
			return err
		}
	}
	show(m)
	if packed, ok := m.(*anypb.Any); ok {
		inner, err := packed.UnmarshalNew()
		if err != nil {
			return err
		}
		return visit(inner.ProtoReflect(), show)
	}
	var failed error
	each := func(value protoreflect.Value) bool {
		failed = visit(value.Message(), show)
		return failed == nil
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			if field.MapValue().Message() != nil {
				value.Map().Range(func(_ protoreflect.MapKey, value protoreflect.Value) bool { return each(value) })
			}
		case field.Message() == nil:
		case field.IsList():
			for i := 0; i < value.List().Len() && failed == nil; i++ {
				each(value.List().Get(i))
			}
		default:
			each(value)
		}
		return failed == nil
	})
	return failed
}

// TestEnvoyConfig compares the configuration with the protobufs that Envoy publishes. There is no Envoy to run it.
func TestEnvoyConfig(t *testing.T) {
	config, err := envoyConfig(t)
	if err != nil {
		t.Fatal(err)
	}
	clusters := map[string]bool{}
	for _, cluster := range config.GetStaticResources().GetClusters() {
		clusters[cluster.GetName()] = true
	}
	var filter *authzv3.ExtAuthz
	var manager *managerv3.HttpConnectionManager
	projects, messages := []string(nil), 0
	err = visit(config.ProtoReflect(), func(m proto.Message) {
		messages++
		switch m := m.(type) {
		case *authzv3.ExtAuthz:
			filter = m
		case *managerv3.HttpConnectionManager:
			manager = m
		case *authzv3.ExtAuthzPerRoute:
			projects = append(projects, m.GetCheckSettings().GetContextExtensions()[envoy.ProjectExtension])
		case interface{ GetClusterName() string }: // an endpoint, or a server to ask
			if !clusters[m.GetClusterName()] {
				t.Errorf("no cluster %q", m.GetClusterName())
			}
		case interface{ GetCluster() string }:
			if name := m.GetCluster(); !clusters[name] && name != "keyward-gateways" {
				t.Errorf("no cluster %q", name)
			}
		}
	})
	if err != nil || filter == nil || manager == nil || messages < 100 {
		t.Fatalf("%d messages: %v", messages, err)
	}
	if len(projects) != 1 || projects[0] == "" {
		t.Errorf("trusted projects %q", projects)
	}
	if filter.GetFailureModeAllow() || filter.GetStatusOnError().GetCode() != 503 || !filter.GetEncodeRawHeaders() {
		t.Error("the filter lets requests pass, or says less than it knows")
	}
	if manager.GetNormalizePath() == nil || manager.GetNormalizePath().GetValue() || manager.GetMergeSlashes() ||
		!manager.GetUseRemoteAddress().GetValue() {
		t.Error("the content server may see another request than was decided on")
	}
	compareHeaders(t, filter)
	compareRemovals(t, manager)
}

// compareRemovals: the validation server can let Envoy remove only headers that Envoy sends to it.
func compareRemovals(t *testing.T, manager *managerv3.HttpConnectionManager) {
	t.Helper()
	var patterns []*regexp.Regexp
	err := visit(manager.ProtoReflect(), func(m proto.Message) {
		if mutation, ok := m.(*mutationv3.HeaderMutation); ok {
			if regex := mutation.GetRemoveOnMatch().GetKeyMatcher().GetSafeRegex().GetRegex(); regex != "" {
				patterns = append(patterns, regexp.MustCompile("^(?:"+regex+")$")) // Envoy matches the whole
			}
		}
	})
	if err != nil || len(patterns) == 0 {
		t.Fatalf("%d patterns: %v", len(patterns), err)
	}
	removed := func(name string) bool {
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(strings.ToLower(name)) })
	}
	for _, name := range unwantedOf(&gateway{name: "Envoy"}) {
		// Envoy itself writes these two.
		if written := strings.EqualFold(name, "X-Forwarded-For") || strings.EqualFold(name, "X-Forwarded-Proto"); removed(name) == written {
			t.Errorf("%s is removed: %v", name, !written)
		}
	}
	for _, name := range append(unwantedOf(&gateway{name: "Envoy"}), "X-Keyward-Group", "X-Api-Key", "X-Request-Id") {
		for _, other := range "!#$%&'*+.^`|~" { // Envoy drops names with '_'
			if strings.Contains(name, "-") && !removed(strings.Replace(name, "-", string(other), 1)) {
				t.Errorf("%s is not removed with %c for -", name, other)
			}
		}
	}
	for _, name := range []string{":path", ":method", ":authority", ":scheme"} {
		if removed(name) {
			t.Errorf("%s is removed", name)
		}
	}
	for _, name := range []string{"accept", "cookie", "authorization", "x-api-key", "x-request-id", "origin", "x-custom",
		"x-forwarded-client-cert", "content-type"} {
		if removed(name) {
			t.Errorf("%s is removed", name)
		}
	}
}

// compareHeaders: headers that Envoy does not send are neither decided on nor removed.
func compareHeaders(t *testing.T, filter *authzv3.ExtAuthz) {
	t.Helper()
	sent := func(name string) bool {
		for _, pattern := range filter.GetAllowedHeaders().GetPatterns() {
			if exact := pattern.GetExact(); exact != "" && exact == name || pattern.GetPrefix() != "" &&
				strings.HasPrefix(name, pattern.GetPrefix()) {
				return true
			}
		}
		return false
	}
	names := append([]string{"Authorization", "X-Api-Key", "Sec-WebSocket-Protocol", httpapi.HeaderRequestID, "X-Forwarded-For", "Forwarded",
		httpapi.HeaderGroup, "X-Keyward-Context-Anything"}, httpapi.DecisionHeaders...)
	for _, name := range names {
		if !sent(strings.ToLower(name)) {
			t.Errorf("%s is not sent", name)
		}
	}
	if sent("cookie") {
		t.Error("cookies are sent")
	}
}

// TestEnvoyConfigMatchesProtobuf finds what Envoy would refuse, or read as something else.
func TestEnvoyConfigMatchesProtobuf(t *testing.T) {
	for name, change := range map[string][2]string{
		"a field":                  {"use_remote_address", "use_remote_addr"},
		"a field of a filter":      {"failure_mode_allow: false", "failure_mode_alow: false"},
		"a type":                   {"router.v3.Router", "router.v3.Routre"},
		"a status":                 {"ServiceUnavailable", "ServiceUnavailble"},
		"a value":                  {"1s}", "1x}"},
		"a rule":                   {"port_value: 8082", "port_value: 80820"},
		"a rule, within an Any":    {"stat_prefix: clients", `stat_prefix: ""`},
		"a field, within a route":  {"context_extensions", "context_extension"},
		"a rule, of a cluster":     {"connect_timeout: 1s", "connect_timeout: 0s"},
		"a field of an access log": {"log_name", "logname"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := envoyConfig(t, change[0], change[1]); err == nil {
				t.Error("it passes")
			} else {
				t.Log(err)
			}
		})
	}
}
