package gateways

import (
	"flag"
	"os"
	"strings"
	"testing"
)

const (
	pagePath    = "../../docs/gateways.md"
	matrixBegin = "<!-- what follows is written by: go test ./test/gateways -run TestMatrix -update -->\n"
	matrixEnd   = "<!-- end of what is written by the test -->\n"
)

var update = flag.Bool("update", false, "write the matrix into docs/gateways.md")

// matrix has the results, by row and gateway.
type matrix map[string]map[string]string

func (m matrix) add(row, gateway, found string) {
	if m[row] == nil {
		m[row] = map[string]string{}
	}
	m[row][gateway] = found
}

func (m matrix) String() string {
	line := func(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }
	head, rule := []string{"what a client does"}, []string{"---"}
	for _, g := range append(gateways, own) {
		head, rule = append(head, g.name), append(rule, "---")
	}
	text := line(head) + line(rule)
	for _, r := range rows {
		cells := []string{r.name}
		for _, g := range append(gateways, own) {
			cells = append(cells, m[r.name][g.name])
		}
		text += line(cells)
	}
	return text
}

// parse reads what String has written.
func parse(text string) matrix {
	m := matrix{}
	var head []string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if head == nil {
			head = cells
			continue
		}
		for i, cell := range cells[1:] {
			if i+1 < len(head) {
				m.add(cells[0], head[i+1], cell)
			}
		}
	}
	return m
}

// comparePage compares the columns of the gateways that are installed.
func (m matrix) comparePage(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), matrixBegin)
	old, after, ends := strings.Cut(rest, matrixEnd)
	if !begins || !ends {
		t.Fatalf("%s has no place for the matrix", pagePath)
	}
	if !*update {
		written := parse(old)
		for _, r := range rows {
			for gateway, found := range m[r.name] {
				if written[r.name][gateway] != found {
					t.Errorf("%s is stale: %s, %s: it says %q, and it is %q; see the comment there", pagePath, gateway, r.name,
						written[r.name][gateway], found)
				}
			}
		}
		return
	}
	for _, g := range append(gateways, own) {
		if m[rows[0].name][g.name] == "" {
			t.Fatalf("%s is not installed, so that the matrix cannot be written", g.name)
		}
	}
	for row, cells := range parse(old) {
		for gateway, written := range cells {
			if m[row] != nil && m[row][gateway] == "" { // it was skipped
				m.add(row, gateway, written)
			}
		}
	}
	if err := os.WriteFile(pagePath, []byte(before+matrixBegin+m.String()+matrixEnd+after), 0o600); err != nil {
		t.Fatal(err)
	}
}
