package role

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables into docs/access.md")

const (
	page  = "../../docs/access.md"
	begin = "<!-- roles: go test ./internal/role -run TestPage -update -->\n"
	end   = "<!-- end of roles -->\n"
)

// TestPage holds the documentation to the table.
func TestPage(t *testing.T) {
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(written), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s does not say where the tables are", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+Markdown()+end+after), 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
		return
	}
	if got != Markdown() {
		t.Errorf("%s is out of date; run go test ./internal/role -run TestPage -update", page)
	}
}

// TestNothingUnknownIsAllowed tries texts of others: a role from a session, and an operation of a form.
func TestNothingUnknownIsAllowed(t *testing.T) {
	for _, r := range []Role{"", "OWNER", "owner ", "platform", "root"} {
		if names := ClusterRoles(r); names != nil {
			t.Errorf("role %q has ClusterRoles %v", r, names)
		}
		for _, o := range Operations() {
			if May(r, o) {
				t.Errorf("role %q may %s", r, o)
			}
		}
	}
	for _, r := range All() {
		for _, o := range []Operation{"", "READ-KEYS", "read-keys ", "everything"} {
			if May(r, o) {
				t.Errorf("%s may %q", r, o)
			}
		}
	}
}

// TestLadder holds that a higher role may do all that a lower one may, that each adds something, and that no row is there twice.
func TestLadder(t *testing.T) {
	operations := Operations()
	sorted := slices.Sorted(slices.Values(operations))
	if unique := slices.Compact(slices.Clone(sorted)); len(unique) != len(operations) {
		t.Errorf("operations are there twice: %v", sorted)
	}
	for i, higher := range All() {
		more := 0
		for _, o := range operations {
			lower := i > 0 && May(All()[i-1], o)
			if lower && !May(higher, o) {
				t.Errorf("%s may not %s, and the role below may", higher, o)
			}
			if !lower && May(higher, o) {
				more++
			}
		}
		if more == 0 {
			t.Errorf("%s may do nothing more than the role below", higher)
		}
	}
}

// TestWhatMatters names some cells, because the other tests follow the table regardless of what it says.
func TestWhatMatters(t *testing.T) {
	for _, cell := range []struct {
		role      Role
		operation Operation
		may       bool
	}{
		{Viewer, ReadKeys, true}, {Viewer, ChangeAllowlist, false},
		{Member, ChangeAllowlist, true}, {Member, CreateKey, false}, {Member, RevokeKey, false},
		{Admin, CreateKey, true}, {Admin, RevokeKey, true}, {Admin, ChangeKeyPolicy, false},
		{Owner, ChangeKeyPolicy, true}, {Owner, ChangeTier, false}, {Owner, ReadSecret, false}, {Owner, DeleteGroup, false},
	} {
		if got := May(cell.role, cell.operation); got != cell.may {
			t.Errorf("May(%s, %s) = %t", cell.role, cell.operation, got)
		}
	}
}
