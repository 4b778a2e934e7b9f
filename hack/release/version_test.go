package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestVersion follows a repository from its first commit to the release after next.
func TestVersion(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "hack"), 0o755); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../version.sh")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "hack", "version.sh")
	if err := os.WriteFile(copied, script, 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	command := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir),
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
			"GIT_COMMITTER_DATE=2026-01-02T03:04:05+02:00", "TZ=Asia/Tokyo")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	expect := func(when, pattern string) {
		t.Helper()
		if got := command(copied); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("%s: %s, want %s", when, got, pattern)
		}
	}
	// The commit's time in UTC, and 12 digits of its revision, as in Go's pseudo-versions.
	const stamp = "20260102010405-[0-9a-f]{12}"
	commit := func() { command("git", "commit", "-q", "--allow-empty", "-m", "a") }

	expect("without Git", `v0\.0\.0-unknown`)
	command("git", "init", "-q")
	command("git", "add", ".")
	commit()
	expect("before the first release", `v0\.0\.0-`+stamp)
	command("git", "tag", "some-tag")
	expect("with a tag that is no version", `v0\.0\.0-`+stamp)
	command("git", "tag", "v0.1.0-rc.1")
	expect("at a release candidate", `v0\.1\.0-rc\.1`)
	commit()
	expect("after it", `v0\.1\.0-rc\.1\.0\.`+stamp)
	command("git", "tag", "v0.1.9")
	expect("at a release", `v0\.1\.9`)
	commit()
	expect("after it", `v0\.1\.10-0\.`+stamp)
	command("git", "tag", "-a", "-m", "a", "v0.2.0")
	expect("at an annotated tag", `v0\.2\.0`)
	if err := os.WriteFile(copied, append(script, '\n'), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	expect("with a change that is not committed", `v0\.2\.0-dirty`)
}
