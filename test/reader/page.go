// Package reader reads pages of the documentation as a person does: it types their commands into a shell, one block after the other, and
// compares what is printed with what the page shows. Tests that have a cluster use it.
//
// In a page, indented blocks and fences of sh are commands. A fence without a language, or of json, after commands is what they print. Comments
// say more, on lines of their own:
//
//	<!-- not tested: reason -->   before commands: nobody runs them
//	<!-- file: name -->           before a fence: the reader writes it into that file
//	<!-- stays until: text -->    before commands: they go on running; the reader continues when they have printed the text
//	<!-- fails -->                before commands: the last of them fails
//	<!-- prints: text -->         after commands: what they print contains the text
//	<!-- example -->              before a fence: it is not what the commands before it print
package reader

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Pages have the test that reads them, as package: function. A page that is not here has no commands, or only such as are marked.
var Pages = map[string]string{
	"docs/getting-started.md":  "test/e2e: TestReadGettingStarted",
	"docs/operations.md":       "test/e2e: TestReadGettingStarted",
	"docs/how-to/install.md":   "test/node: TestReadHowTo",
	"docs/how-to/backup.md":    "test/node: TestReadHowTo",
	"docs/how-to/upgrade.md":   "test/node: TestReadHowTo",
	"docs/how-to/uninstall.md": "test/node: TestReadHowTo",
	"docs/how-to/sidecar.md":   "test/node: TestReadHowTo",
	"docs/how-to/gitops.md":    "test/gitops: TestPages",
	"docs/how-to/argocd.md":    "test/gitops: TestPages",
	"docs/how-to/flux.md":      "test/gitops: TestPages",
	"docs/conditions.md":       "test/e2e: TestReadGettingStarted",
	"docs/access.md":           "test/e2e: TestReadGettingStarted",
	"docs/audit.md":            "test/e2e: TestReadGettingStarted",
	"docs/certificates.md":     "test/e2e: TestReadGettingStarted",
	"docs/usage.md":            "test/e2e: TestReadGettingStarted",
}

// Kind is what a block is for.
type Kind int

// Kinds of blocks.
const (
	Commands Kind = iota // to type
	File                 // to write into a file
	Output               // of the commands before it
	Other                // to look at
)

// Block is a block of code in a page.
type Block struct {
	Line    int    // of its first line
	Section string // the heading above it, without the number signs
	Kind    Kind
	Text    string

	NotTested  string   // why nobody runs it
	Name       string   // of the file
	StaysUntil string   // what commands that go on running print
	Fails      bool     // the last command does
	Example    bool     // nobody prints it
	Prints     []string // parts of what the commands print
}

// Page is a page of the documentation.
type Page struct {
	Path   string // below the root of the repository
	Blocks []*Block
}

// Load reads a page of the repository.
func Load(root, path string) (*Page, error) {
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return nil, err
	}
	blocks, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return &Page{Path: path, Blocks: blocks}, nil
}

var (
	fence     = regexp.MustCompile("^( *)```([a-z]*)$")
	directive = regexp.MustCompile(`^<!-- (not tested|file|stays until|fails|example|prints)(?:: (.*?))? -->$`)
	listItem  = regexp.MustCompile(`^ *([-*]|\d+\.) `)
)

// parser goes through a page line by line.
type parser struct {
	blocks  []*Block
	next    Block // what comments say about the block that follows
	section string
	inList  bool
	blank   bool
}

// Parse returns the blocks of a page.
func Parse(text string) ([]*Block, error) {
	p := parser{blank: true}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if m := fence.FindStringSubmatch(line); m != nil {
			end := i + 1
			for end < len(lines) && strings.TrimSpace(lines[end]) != "```" {
				end++
			}
			if end == len(lines) {
				return nil, fmt.Errorf("%d: the fence does not end", i+1)
			}
			p.add(i+2, p.kindOf(m[2]), unindent(lines[i+1:end], len(m[1])))
			i, p.blank = end, false
			continue
		}
		if strings.HasPrefix(line, "    ") && p.blank && !p.inList {
			end := i
			for end < len(lines) && (strings.HasPrefix(lines[end], "    ") || strings.TrimSpace(lines[end]) == "") {
				end++
			}
			p.add(i+1, Commands, strings.TrimRight(unindent(lines[i:end], 4), "\n")+"\n")
			i, p.blank = end-1, true
			continue
		}
		if err := p.prose(line); err != nil {
			return nil, fmt.Errorf("%d: %w", i+1, err)
		}
	}
	return p.blocks, nil
}

// prose reads a line that is no code.
func (p *parser) prose(line string) error {
	trimmed := strings.TrimSpace(line)
	p.blank = trimmed == ""
	switch {
	case strings.HasPrefix(line, "#"):
		p.section, p.inList = strings.TrimSpace(strings.TrimLeft(line, "#")), false
	case listItem.MatchString(line):
		p.inList = true
	case trimmed != "" && !strings.HasPrefix(line, " "):
		p.inList = false
	}
	m := directive.FindStringSubmatch(trimmed)
	if m == nil {
		if trimmed != "" && p.next.NotTested != "" {
			return fmt.Errorf("%q is between a comment that says what is not tested and the commands", trimmed)
		}
		return nil
	}
	if (m[2] == "") != (m[1] == "fails" || m[1] == "example") {
		return fmt.Errorf("%s says too little or too much", trimmed)
	}
	p.blank = true // the comment is over
	switch m[1] {
	case "not tested":
		p.next.NotTested = m[2]
	case "file":
		p.next.Name = m[2]
	case "stays until":
		p.next.StaysUntil = m[2]
	case "fails":
		p.next.Fails = true
	case "example":
		p.next.Example = true
	case "prints":
		if len(p.blocks) == 0 || p.blocks[len(p.blocks)-1].Kind != Commands {
			return fmt.Errorf("%s follows no commands", trimmed)
		}
		last := p.blocks[len(p.blocks)-1]
		last.Prints = append(last.Prints, m[2])
	}
	return nil
}

// kindOf returns what a fence with a language is, after what came before it.
func (p *parser) kindOf(language string) Kind {
	switch {
	case p.next.Name != "":
		return File
	case language == "sh" || language == "bash" || language == "console":
		return Commands
	case p.next.Example || language != "" && language != "json" || len(p.blocks) == 0:
		return Other
	}
	if last := p.blocks[len(p.blocks)-1]; last.Section == p.section && last.Kind == Commands {
		return Output
	}
	return Other
}

func (p *parser) add(line int, kind Kind, text string) {
	b := p.next
	p.next = Block{}
	b.Line, b.Section, b.Kind, b.Text = line, p.section, kind, text
	p.blocks = append(p.blocks, &b)
}

func unindent(lines []string, by int) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line[min(by, len(line)-len(strings.TrimLeft(line, " "))):] + "\n")
	}
	return b.String()
}
