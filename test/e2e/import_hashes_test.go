package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// importKeysEnvironment is how many keys TestImportOfHashes imports: set it to 10000 to measure.
const importKeysEnvironment = "KEYWARD_IMPORT_KEYS"

// TestImportOfHashes imports a file of hashes with the plugin, also after an interruption, verifies that holders of
// the texts notice nothing of it, and rotates the keys.
func TestImportOfHashes(t *testing.T) {
	keys := 200
	if text := os.Getenv(importKeysEnvironment); text != "" {
		var err error
		if keys, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	if err := goBuild(w.ctx, "-o", bin("e2e", "kubectl-keyward"), "./cmd/kubectl-keyward"); err != nil {
		t.Fatal(err)
	}
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidators("one")[0]
	w.createGroup()
	holders := make([]*holder, keys)
	file := strings.Builder{}
	file.WriteString("name,sha256,preview,projects,expiresAfter\n")
	for i := range holders {
		holders[i] = &holder{name: fmt.Sprintf("key-%05d", i), text: foreignKey(i)}
		sum := sha256.Sum256([]byte(holders[i].text))
		fmt.Fprintf(&file, "%s,%s,%s…,marketing,90d\n", holders[i].name, base64.StdEncoding.EncodeToString(sum[:]), holders[i].text[:6])
	}
	name := w.path("keys.csv")
	if err := os.WriteFile(name, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, bin("e2e", "kubectl-keyward"), append([]string{"import", "--from", name, "--group", "acme",
			"--namespace", w.namespace, "--kubeconfig", w.path("kubeconfig"), "--timeout", "30m"}, args...)...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		output, err := cmd.CombinedOutput()
		return string(output), err
	}

	begin := time.Now()
	output, err := run(w.ctx)
	if err != nil || !strings.Contains(output, fmt.Sprintf("%d keys: %d would be created", keys, keys)) {
		t.Fatalf("the dry run: %v\n%.2000s", err, output)
	}
	t.Logf("checking %d hashes took %s", keys, time.Since(begin).Round(time.Millisecond))

	// It is interrupted as soon as there is a key, and run again.
	interrupted, interrupt := context.WithCancel(w.ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		_ = poll(interrupted, patience, func() error {
			key := w.newKey(holders[0].name)
			return w.admin.Get(interrupted, client.ObjectKeyFromObject(key), key)
		})
		interrupt()
	})
	begin = time.Now()
	_, _ = run(interrupted, "--apply")
	interrupt()
	watching.Wait()
	if output, err = run(w.ctx, "--apply"); err != nil {
		others := slices.DeleteFunc(strings.Split(output, "\n"), func(line string) bool { return strings.HasSuffix(line, ", accepted") })
		t.Fatalf("%v\n%.2000s", err, strings.Join(others, "\n"))
	}
	t.Logf("importing %d hashes took %s until all were accepted", keys, time.Since(begin).Round(time.Millisecond))
	if accepted := strings.Count(output, ", accepted"); accepted != keys {
		t.Fatalf("%d of %d are accepted\n%.2000s", accepted, keys, output)
	}
	w.each(keys, func(i int) error {
		if code, err := v.verify(w.ctx, holders[i].text); err != nil || code != "allowed" {
			return errors.Join(fmt.Errorf("%s is answered %q", holders[i].name, code), err)
		}
		return nil
	})

	begin = time.Now()
	w.each(keys, func(i int) error { return w.tryTrigger(holders[i].name, "cut over") })
	w.awaitAll("rotated", func(key *v1alpha1.ApiKey) bool {
		return len(key.Status.Versions) == 2 && key.Status.Versions[0].State == v1alpha1.VersionRetiring && key.Status.SecretRef != nil && isReady(key)
	})
	t.Logf("rotating them took %s", time.Since(begin).Round(time.Millisecond))
	w.each(min(keys, 200), func(i int) error {
		for _, text := range []string{holders[i].text, w.plaintext(holders[i].name)} { // in the overlap
			if code, err := v.verify(w.ctx, text); err != nil || code != "allowed" {
				return errors.Join(fmt.Errorf("%s is answered %q", holders[i].name, code), err)
			}
		}
		return nil
	})
}
