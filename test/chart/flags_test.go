package chart

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	console "github.com/keyward-dev/keyward/console/options"
	"github.com/keyward-dev/keyward/server/options"
)

// TestFlagsExist: the programs accept the flags that the chart gives them, for each feature.
func TestFlagsExist(t *testing.T) {
	binary := buildProgram(t, "manager")
	for _, name := range features(t) {
		for _, deployment := range renderFeature(t, name).ofKind("Deployment") {
			for _, container := range containers(deployment) {
				switch container.text("name") {
				case "validator":
					if _, err := options.Parse(container.args(), "host", t.Output()); err != nil {
						t.Errorf("%s: %s: %v", name, deployment.name(), err)
					}
				case "console":
					inPod := func(name string) string { return map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}[name] }
					if _, err := console.Parse(container.args(), inPod, t.Output()); err != nil {
						t.Errorf("%s: %s: %v", name, deployment.name(), err)
					}
				case "manager":
					// With --version it ends as soon as it has read them.
					cmd := exec.CommandContext(t.Context(), binary, append(container.args(), "--version")...)
					if output, err := cmd.CombinedOutput(); err != nil {
						text, _, _ := strings.Cut(string(output), "\n")
						t.Errorf("%s: %s: %v", name, deployment.name(), errors.Join(err, errors.New(text)))
					}
				}
			}
		}
	}
}

// containers returns those of a Deployment.
func containers(deployment object) (all []object) {
	list, _ := deployment.at("spec", "template", "spec", "containers").([]any)
	for _, c := range list {
		if container, is := c.(map[string]any); is {
			all = append(all, container)
		}
	}
	return all
}

// args returns the arguments of a container.
func (o object) args() (all []string) {
	list, _ := o.at("args").([]any)
	for _, a := range list {
		if text, is := a.(string); is {
			all = append(all, text)
		}
	}
	return all
}
