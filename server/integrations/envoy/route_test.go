package envoy

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// routeOf is the metadata of a route that Envoy Gateway made of resources, each of which names a project, or no project
// if it is nil.
func routeOf(projects ...any) *corev3.Metadata {
	resources := &structpb.ListValue{}
	for _, project := range projects {
		annotations := map[string]any{"other": "x"}
		if project != nil {
			annotations[ProjectAnnotation] = project
		}
		resource, err := structpb.NewStruct(map[string]any{"kind": "HTTPRoute", "name": "content", "annotations": annotations})
		if err != nil {
			panic(err)
		}
		resources.Values = append(resources.Values, structpb.NewStructValue(resource))
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{gatewayNamespace: {
		Fields: map[string]*structpb.Value{gatewayResources: structpb.NewListValue(resources)},
	}}}
}

func TestProjectOfARoute(t *testing.T) {
	extensions := map[string]string{ProjectExtension: "web"}
	elsewhere := routeOf("marketing")
	elsewhere.FilterMetadata["other"], elsewhere.FilterMetadata[gatewayNamespace] = elsewhere.FilterMetadata[gatewayNamespace], nil
	for name, c := range map[string]struct {
		attributes *authv3.AttributeContext
		want       string
	}{
		"none":                       {&authv3.AttributeContext{}, ""},
		"an annotation":              {&authv3.AttributeContext{RouteMetadataContext: routeOf("marketing")}, "marketing"},
		"no annotation":              {&authv3.AttributeContext{RouteMetadataContext: routeOf(nil)}, ""},
		"of one of two":              {&authv3.AttributeContext{RouteMetadataContext: routeOf(nil, "marketing")}, "marketing"},
		"the same of two":            {&authv3.AttributeContext{RouteMetadataContext: routeOf("marketing", "marketing")}, "marketing"},
		"two":                        {&authv3.AttributeContext{RouteMetadataContext: routeOf("marketing", "web")}, noProject},
		"three, in between":          {&authv3.AttributeContext{RouteMetadataContext: routeOf("web", "marketing", "web")}, noProject},
		"empty":                      {&authv3.AttributeContext{RouteMetadataContext: routeOf("")}, noProject},
		"a number":                   {&authv3.AttributeContext{RouteMetadataContext: routeOf(1)}, noProject},
		"a list":                     {&authv3.AttributeContext{RouteMetadataContext: routeOf([]any{"marketing"})}, noProject},
		"of another namespace":       {&authv3.AttributeContext{RouteMetadataContext: elsewhere}, ""},
		"of requests":                {&authv3.AttributeContext{MetadataContext: routeOf("marketing")}, ""},
		"the extension comes before": {&authv3.AttributeContext{RouteMetadataContext: routeOf("marketing"), ContextExtensions: extensions}, "web"},
	} {
		if got := trustedProject(c.attributes); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
