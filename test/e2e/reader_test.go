package e2e

import (
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/reader"
)

// TestReadGettingStarted follows docs/getting-started.md and pages of operations to the letter, with make run, on a network of its own.
func TestReadGettingStarted(t *testing.T) {
	requireKubernetes(t)
	shell := reader.Start(t, reader.Setup{Root: root, PrivateNetwork: true, Patience: 10 * time.Minute})
	shell.Read("docs/getting-started.md", "Run it")
	shell.Read("docs/getting-started.md", "Look at the objects")
	shell.Read("docs/operations.md")
	shell.Read("docs/conditions.md")
	shell.Read("docs/access.md")
	shell.Read("docs/usage.md")
	for _, section := range []string{
		"Create a key", "Suspend, resume, revoke", "The same with kubectl keyward", "The other integrations", "Other shapes",
	} {
		shell.Read("docs/getting-started.md", section)
	}
	shell.Read("docs/audit.md")
	shell.Read("docs/certificates.md")
}
