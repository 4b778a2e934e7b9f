package grant

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Target is an object beside a key that the manager patches when a new version is delivered. Whoever names one needs the right
// to patch it.
type Target struct {
	// Field of the ApiKey that names it.
	Field        string
	GroupVersion schema.GroupVersion
	Resource     string
	Kind, Name   string
}

var (
	apps            = schema.GroupVersion{Group: "apps", Version: "v1"}
	argoRollouts    = schema.GroupVersion{Group: "argoproj.io", Version: "v1alpha1"}
	externalSecrets = schema.GroupVersion{Group: "external-secrets.io", Version: "v1alpha1"}
)

// Restarts returns the workloads that the key rolls.
func Restarts(key *v1alpha1.ApiKey) []Target {
	targets := make([]Target, 0, len(key.Spec.Secret.Restart))
	for i, workload := range key.Spec.Secret.Restart {
		of := apps
		if workload.Kind == v1alpha1.WorkloadRollout {
			of = argoRollouts
		}
		targets = append(targets, target(fmt.Sprintf("spec.secret.restart[%d]", i), of, string(workload.Kind), workload.Name))
	}
	return targets
}

// Notifies returns the objects that the key notifies.
func Notifies(key *v1alpha1.ApiKey) []Target {
	targets := make([]Target, 0, len(key.Spec.Secret.Notify))
	for i, notified := range key.Spec.Secret.Notify {
		targets = append(targets, target(fmt.Sprintf("spec.secret.notify[%d]", i), externalSecrets, string(notified.Kind), notified.Name))
	}
	return targets
}

func target(field string, of schema.GroupVersion, kind, name string) Target {
	return Target{Field: field, GroupVersion: of, Resource: strings.ToLower(kind) + "s", Kind: kind, Name: name}
}
