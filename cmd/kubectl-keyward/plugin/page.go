package plugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"
)

// style is how a text is shown on a terminal with colours.
type style string

const (
	plain  style = ""
	reset  style = "0"
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// page collects what is printed for people.
type page struct {
	bytes.Buffer
	colours bool
	blocks  bool // whether block elements of Unicode are shown
	now     time.Time
}

func (a *app) page(out io.Writer) *page {
	colours := isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &page{colours: colours, now: a.now()}
}

// print writes the document with -o, and the output of text otherwise.
func (a *app) print(document any, text func(*page)) error {
	var all []byte
	var err error
	switch a.output {
	case "json":
		all, err = json.MarshalIndent(document, "", "  ")
		all = append(all, '\n')
	case "yaml":
		if all, err = json.Marshal(document); err == nil {
			// Escaped, for YAML knows fewer characters than JSON.
			all, err = yaml.JSONToYAML([]byte(cleaned(string(all), escapedForYAML)))
		}
	default:
		p := a.page(a.streams.Out)
		text(p)
		all = p.Bytes()
	}
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if err = a.write(all); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// write writes a result. Colours are in it only where a page has painted them.
func (a *app) write(all []byte) error {
	var err error
	if w, ok := a.streams.Out.(cleanWriter); ok && (a.output == "" || a.output == outputWide) {
		_, err = w.write(all, sequences())
	} else {
		_, err = a.streams.Out.Write(all)
	}
	return err
}

// line writes a line. Its arguments are other people's text, and are cleaned.
func (p *page) line(format string, args ...any) {
	_, _ = fmt.Fprintf(p, format+"\n", cleanArguments(args)...)
}

// paint returns the text in a colour.
func (p *page) paint(s style, text string) painted {
	text = clean(text)
	if !p.colours || s == plain || text == "" {
		return painted{text}
	}
	return painted{s.sequence() + text + reset.sequence()}
}

func (s style) sequence() string { return "\x1b[" + string(s) + "m" }

// sequences are all that is ever painted.
func sequences() []string {
	var all []string
	for _, s := range []style{reset, bold, red, green, yellow} {
		all = append(all, s.sequence())
	}
	return all
}

// cell is one text of a table.
type cell struct {
	text  string
	style style
}

func texts(all ...string) []cell {
	row := make([]cell, 0, len(all))
	for _, text := range all {
		row = append(row, cell{text: text})
	}
	return row
}

// table writes rows with their columns aligned, with or without colours.
func (p *page) table(rows [][]cell) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			row[i].text, c.text = clean(c.text), clean(c.text)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(p.paint(c.style, c.text).String())
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+3))
			}
		}
		p.line("%s", painted{strings.TrimRight(line.String(), " ")})
	}
}

const (
	instant = "2006-01-02 15:04:05 MST"
	minute  = "2006-01-02 15:04 MST"
)

// when is an instant as a distance from now and as what it is.
func (p *page) when(t *metav1.Time, layout string) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s)", p.distance(t), t.UTC().Format(layout))
}

func (p *page) distance(t *metav1.Time) string {
	if left := t.Sub(p.now); left > 0 {
		return "in " + duration.HumanDuration(left)
	}
	return duration.HumanDuration(p.now.Sub(t.Time)) + " ago"
}

// or is the text, or what stands for its absence.
func or(text, absent string) string {
	if text == "" {
		return absent
	}
	return text
}
