package specchange

import (
	"strings"

	"github.com/keyward-dev/keyward/internal/groupevent"
)

// managers are how names of field managers begin.
var managers = []struct{ prefix, via string }{
	{"kubectl", groupevent.ViaKubectl}, {"keyward-cli", groupevent.ViaKubectl}, // kubectl keyward
	{"keyward-console", groupevent.ViaConsole},
	{"argocd", groupevent.ViaGitOps}, {"kustomize-controller", groupevent.ViaGitOps}, {"helm-controller", groupevent.ViaGitOps},
	{"flux", groupevent.ViaGitOps}, {"fleet", groupevent.ViaGitOps},
	{"helm", groupevent.ViaHelm},
}

// Via returns how a user made a change, by the field manager that the client names.
func Via(user, fieldManager string) string {
	for _, of := range managers {
		if strings.HasPrefix(fieldManager, of.prefix) {
			return of.via
		}
	}
	if strings.HasPrefix(user, "system:serviceaccount:") {
		return groupevent.ViaAutomation
	}
	return groupevent.ViaOther
}
