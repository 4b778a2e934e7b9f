package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Setup says where a shell is.
type Setup struct {
	Root        string   // the repository
	Environment []string // in addition
	// PrivateNetwork gives the shell a network of its own, which has only loopback: all ports are free.
	PrivateNetwork bool
	// Patience is how long a block may take.
	Patience time.Duration
}

// Shell is a bash in namespaces of its own. The repository is its working directory. What it changes there is in memory and ends with it, and
// so does everything that was started in it.
type Shell struct {
	t       *testing.T
	setup   Setup
	scratch string
	stdin   interface{ Write([]byte) (int, error) }
	ended   chan struct{}
	blocks  int
	staying int

	pages map[string]*Page
	read  map[*Block]bool
}

// Cannot returns why there can be no shell on this machine.
func Cannot() string {
	for _, program := range []string{"unshare", "bash", "ip", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is missing"
		}
	}
	if output, err := exec.CommandContext(context.Background(), "unshare", append(namespaces(true), "true")...).CombinedOutput(); err != nil {
		return fmt.Sprintf("namespaces cannot be created: %v: %s", err, output)
	}
	return ""
}

func namespaces(network bool) []string {
	arguments := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if network {
		arguments = append(arguments, "--net")
	}
	if os.Geteuid() != 0 {
		arguments = append(arguments, "--user", "--map-root-user")
	}
	return arguments
}

// begin is what runs in the namespaces first. An overlay takes all changes of the repository.
const begin = `set -e
if [ -n "$READER_NETWORK" ]; then ip link set lo up; fi
mount -t tmpfs none "$READER_SCRATCH/changes"
mkdir "$READER_SCRATCH/changes/upper" "$READER_SCRATCH/changes/work"
mount -t overlay overlay -o "lowerdir=$READER_ROOT,upperdir=$READER_SCRATCH/changes/upper,workdir=$READER_SCRATCH/changes/work" "$READER_ROOT"
cd "$READER_ROOT"
set +e -m
while read -r block; do
	. "$block" >"$block.out" 2>"$block.err" </dev/null
	echo $? >"$block.tmp"; mv "$block.tmp" "$block.rc"
done
`

// Start starts a shell, which ends with the test. It skips the test where namespaces cannot be created, except in CI.
func Start(t *testing.T, setup Setup) *Shell {
	t.Helper()
	if reason := Cannot(); reason != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	s := &Shell{t: t, setup: setup, scratch: t.TempDir(), ended: make(chan struct{}), pages: map[string]*Page{}, read: map[*Block]bool{}}
	if err := os.Mkdir(filepath.Join(s.scratch, "changes"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	arguments := append(namespaces(setup.PrivateNetwork), "bash", "--norc", "--noprofile", "-c", begin)
	cmd := exec.CommandContext(ctx, "unshare", arguments...)
	cmd.Env = append(os.Environ(), append(setup.Environment, "READER_ROOT="+setup.Root, "READER_SCRATCH="+s.scratch)...)
	if setup.PrivateNetwork {
		cmd.Env = append(cmd.Env, "READER_NETWORK=private")
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // what it did is in the files
		close(s.ended)
	}()
	t.Cleanup(func() {
		end() // kills unshare, and with it all processes in the namespaces
		<-s.ended
		if t.Failed() {
			t.Logf("the shell said: %s", complaints.String())
		}
		s.everythingRead()
	})
	return s
}

// Result is what commands did.
type Result struct {
	Printed    string // to standard output
	Complained string // to standard error, where the shell also says which of its jobs have ended
	Status     int
}

// all is what a person sees, except for the order.
func (r Result) all() string { return r.Printed + r.Complained }

// Do types commands, and waits until they have ended.
func (s *Shell) Do(commands string) (Result, error) {
	s.blocks++
	file := filepath.Join(s.scratch, fmt.Sprintf("%03d.sh", s.blocks))
	if err := os.WriteFile(file, []byte(commands), 0o600); err != nil {
		return Result{}, err
	}
	if _, err := fmt.Fprintln(s.stdin, file); err != nil {
		return Result{}, err
	}
	soFar := func() Result {
		printed, _ := os.ReadFile(file + ".out") // there may be nothing yet
		complained, _ := os.ReadFile(file + ".err")
		return Result{Printed: string(printed), Complained: string(complained)}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(s.setup.Patience)
	for {
		if text, err := os.ReadFile(file + ".rc"); err == nil {
			result := soFar()
			_, err = fmt.Sscan(string(text), &result.Status)
			return result, err
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return soFar(), errors.New("a command failed")
		case <-deadline:
			return soFar(), fmt.Errorf("they have not ended after %s", s.setup.Patience)
		}
	}
}

// Must types commands of the test itself, which have to succeed, and returns what they printed to standard output.
func (s *Shell) Must(commands string) string {
	s.t.Helper()
	result, err := s.Do(commands)
	if err != nil || result.Status != 0 {
		s.t.Fatalf("%s: status %d, %v:\n%s", commands, result.Status, err, result.all())
	}
	return result.Printed
}

// Read reads sections of a page, or all of it, in the order of the page. Reading ends with the first block that fails.
func (s *Shell) Read(path string, sections ...string) {
	s.t.Helper()
	page := s.pages[path]
	if page == nil {
		var err error
		if page, err = Load(s.setup.Root, path); err != nil {
			s.t.Fatal(err)
		}
		s.pages[path] = page
	}
	wanted := func(section string) bool {
		for _, name := range sections {
			if name == section {
				return true
			}
		}
		return len(sections) == 0
	}
	for _, name := range sections {
		if !page.has(name) {
			s.t.Fatalf("%s has no section %q with commands", path, name)
		}
	}
	printed := ""
	for _, b := range page.Blocks {
		if wanted(b.Section) && b.NotTested == "" {
			s.block(page, b, &printed)
		}
	}
}

func (p *Page) has(section string) bool {
	for _, b := range p.Blocks {
		if b.Section == section && (b.Kind == Commands || b.Kind == File) {
			return true
		}
	}
	return false
}

// block does what a block is for. printed is what the commands before it have printed.
func (s *Shell) block(page *Page, b *Block, printed *string) {
	s.t.Helper()
	fail := func(format string, arguments ...any) {
		s.t.Helper()
		s.t.Fatalf("%s:%d: %s\n--- block\n%s--- printed\n%s", page.Path, b.Line, fmt.Sprintf(format, arguments...), b.Text, *printed)
	}
	s.read[b] = true
	begin := time.Now()
	switch b.Kind {
	case File:
		s.Must(fmt.Sprintf("cat >%s <<'END OF THE FILE'\n%sEND OF THE FILE\n", b.Name, b.Text))
	case Output:
		if err := Missing(b.Text, *printed); err != nil {
			fail("%v", err)
		}
	case Commands:
		commands := "set -e\n" + b.Text + "set +e\n"
		if b.Fails {
			commands = b.Text
		}
		if b.StaysUntil != "" {
			s.staying++
			commands = fmt.Sprintf("{ %s\n} >\"$READER_SCRATCH/staying.%d\" 2>&1 &\nwhile ! grep -qF '%s' \"$READER_SCRATCH/staying.%[2]d\"; do "+
				"kill -0 $! || { cat \"$READER_SCRATCH/staying.%[2]d\"; false; return; }; sleep 0.1; done\ncat \"$READER_SCRATCH/staying.%[2]d\"\n",
				strings.TrimSpace(b.Text), s.staying, b.StaysUntil)
		}
		result, err := s.Do(commands)
		*printed = result.all()
		switch {
		case err != nil:
			fail("%v", err)
		case b.Fails != (result.Status != 0):
			fail("the status is %d", result.Status)
		}
		for _, part := range b.Prints {
			if err := Missing(part, *printed); err != nil {
				fail("%v", err)
			}
		}
		s.t.Logf("%s:%d: %s", page.Path, b.Line, time.Since(begin).Round(10*time.Millisecond))
	default:
	}
}

// everythingRead requires that all commands of the pages were run that are not marked.
func (s *Shell) everythingRead() {
	if s.t.Failed() || s.t.Skipped() {
		return
	}
	for _, page := range s.pages {
		for _, b := range page.Blocks {
			if (b.Kind == Commands || b.Kind == File) && b.NotTested == "" && !s.read[b] {
				s.t.Errorf("%s:%d: nobody has read this", page.Path, b.Line)
			}
		}
	}
}
