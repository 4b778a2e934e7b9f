package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// Envoy Gateway puts what it knows of an HTTPRoute into the metadata of its Envoy route. includeRouteMetadata of a
// SecurityPolicy adds that to checks. Of the route's annotations it has those with the prefix gateway.envoyproxy.io/,
// without the prefix.
const (
	gatewayNamespace   = "envoy-gateway"
	gatewayResources   = "resources"
	gatewayAnnotations = "annotations"

	// ProjectAnnotation is the name of the annotation of a route that names the trusted project, without Envoy Gateway's
	// prefix.
	ProjectAnnotation = "keyward-project"
)

// trustedProject returns the project that Envoy's configuration names: in context_extensions, or else in the annotation
// of the route. Both come from Envoy alone: metadata_context, which filters fill in from requests, is not read.
func trustedProject(attributes *authv3.AttributeContext) string {
	if project, ok := attributes.GetContextExtensions()[ProjectExtension]; ok {
		return project
	}
	return annotatedProject(attributes.GetRouteMetadataContext())
}

// annotatedProject returns the project that a route names. Where several resources made the route, and name different
// ones, it is none of them: the text has a character that no project's name has, so that the request is denied.
func annotatedProject(metadata *corev3.Metadata) (project string) {
	for _, resource := range metadata.GetFilterMetadata()[gatewayNamespace].GetFields()[gatewayResources].GetListValue().GetValues() {
		annotations := resource.GetStructValue().GetFields()[gatewayAnnotations].GetStructValue().GetFields()
		value, ok := annotations[ProjectAnnotation]
		if !ok {
			continue
		}
		named := value.GetStringValue()
		switch {
		case named == "", project != "" && named != project:
			return noProject
		}
		project = named
	}
	return project
}

// noProject is no name of a project.
const noProject = "?"
