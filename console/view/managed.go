package view

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// marks are labels and annotations by which tools know the objects that they keep as Git has them.
var marks = []struct{ name, tool string }{
	{"argocd.argoproj.io/tracking-id", argoCD}, {"argocd.argoproj.io/instance", argoCD},
	{"kustomize.toolkit.fluxcd.io/name", flux}, {"helm.toolkit.fluxcd.io/name", flux},
	{"meta.helm.sh/release-name", helm},
}

// appliers are how the names of their field managers begin. Helm 4 applies as helm.
var appliers = []struct{ prefix, tool string }{
	{"argocd", argoCD}, {"kustomize-controller", flux}, {"helm-controller", flux}, {"flux", flux}, {"fleet", "Fleet"}, {"helm", helm},
}

const (
	argoCD = "Argo CD"
	flux   = "Flux"
	helm   = "Helm"
)

// Managed returns which tool keeps an object as Git, or a chart, has it: what a person changes of its spec is taken back by it. It is empty if none
// is known to. Marks come first: tools leave them on purpose, and remove them when they let go of an object.
func Managed(object metav1.Object) string {
	for _, mark := range marks {
		if object.GetAnnotations()[mark.name] != "" || object.GetLabels()[mark.name] != "" {
			return mark.tool
		}
	}
	if object.GetLabels()["app.kubernetes.io/managed-by"] == "Helm" {
		return helm
	}
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource != "" || entry.FieldsV1 == nil || !strings.Contains(string(entry.FieldsV1.GetRawBytes()), `"f:spec"`) {
			continue
		}
		for _, of := range appliers {
			if strings.HasPrefix(entry.Manager, of.prefix) {
				return of.tool
			}
		}
	}
	return ""
}
