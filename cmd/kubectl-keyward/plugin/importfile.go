package plugin

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Bounds of a file of keys.
const (
	maxImportRows  = 100_000
	maxImportField = 4096     // bytes
	maxImportFile  = 64 << 20 // bytes
)

// importRow is one key of the file.
type importRow struct {
	line    int
	key     *v1alpha1.ApiKey
	digest  keyformat.Digest
	expired bool

	expiresAfter v1alpha1.Lifetime // of the column; that of the key may be of a flag
}

// importProblem is what is wrong with one field of the file. It never has the content of a field that may be a key.
type importProblem struct {
	Line   int    `json:"line"`
	Column string `json:"column,omitempty"`
	Text   string `json:"error"`
}

func (p importProblem) String() string {
	if p.Column == "" {
		return fmt.Sprintf("line %d: %s", p.Line, p.Text)
	}
	return fmt.Sprintf("line %d, column %s: %s", p.Line, p.Column, p.Text)
}

// importFile reads a file of keys: a line with the names of the columns, then a line for each key.
type importFile struct {
	columns  []string
	rows     []importRow
	problems []importProblem
	defaults importDefaults
	now      metav1.Time

	names   map[string]int           // the line of an ApiKey, by namespace and name
	digests map[keyformat.Digest]int // the line of a hash
}

// importDefaults are for rows whose columns are empty or missing.
type importDefaults struct {
	namespace, group string
	projects         []string
	lifetime         string
}

// maxImportProblems is after how many problems the rest of the file is not read.
const maxImportProblems = 100

func (f *importFile) problem(line int, column, format string, args ...any) {
	f.problems = append(f.problems, importProblem{line, column, fmt.Sprintf(format, args...)})
}

// read reads the file. What is wrong with its rows is in problems; an error is about the file as a whole.
func (f *importFile) read(from io.Reader) error {
	f.names, f.digests = map[string]int{}, map[keyformat.Digest]int{}
	limited := &io.LimitedReader{R: from, N: maxImportFile + 1}
	in := bufio.NewReader(limited)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = in.Discard(len(mark)) // it is buffered
	}
	if mark, err := in.Peek(2); err == nil && (string(mark) == "\xff\xfe" || string(mark) == "\xfe\xff") {
		return errors.New("the file is in UTF-16: save the file as CSV in UTF-8")
	}
	reader := csv.NewReader(in)
	reader.ReuseRecord, reader.TrimLeadingSpace, reader.FieldsPerRecord = true, true, -1
	header, err := reader.Read()
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty: its first line has the names of the columns, such as name,sha256,group,projects")
	case err != nil:
		return unreadableFile(err)
	}
	if err := f.readHeader(header); err != nil {
		return err
	}
	for {
		record, err := reader.Read()
		switch {
		case limited.N <= 0:
			return fmt.Errorf("the file has more than %d MiB; split it", maxImportFile>>20)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return unreadableFile(err)
		}
		line, _ := reader.FieldPos(0)
		if f.readRow(line, record); len(f.problems) >= maxImportProblems {
			return nil
		}
		if len(f.rows) > maxImportRows {
			return fmt.Errorf("the file has more than %d keys; split it", maxImportRows)
		}
	}
}

// unreadableFile says where the file is not CSV, without what is there.
func unreadableFile(err error) error {
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d is no CSV: %w; write fields with commas or quotes between double quotes", syntax.Line, syntax.Err)
	}
	return fmt.Errorf("read the file: %w", err)
}

func (f *importFile) readHeader(header []string) error {
	for _, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		switch _, known := importColumns[name]; {
		case strings.HasPrefix(name, "sep="):
			return errors.New("line 1: leave out the line sep=, which only Excel reads")
		case strings.Contains(name, "\r"):
			return errors.New("line 1: end lines by LF or CR LF, and not by CR alone")
		case known && slices.Contains(f.columns, name):
			return fmt.Errorf("line 1: the column %s is there twice", name)
		case !known && len(header) == 1 && strings.ContainsAny(name, ";\t"):
			return errors.New("line 1: separate the columns by commas")
		case !known && looksLikeKey(name):
			return fmt.Errorf("line 1: the first line has the names of the columns: %s", columnNames())
		case !known:
			return fmt.Errorf("line 1: there is no column %q; the columns are %s: rename it, or leave it out", name, columnNames())
		}
		f.columns = append(f.columns, name)
	}
	for _, required := range []string{columnName, columnSHA256} {
		if !slices.Contains(f.columns, required) {
			return fmt.Errorf("line 1: there is no column %s; the columns are %s", required, columnNames())
		}
	}
	return nil
}

// readRow reads one line. It reports every field that is wrong.
func (f *importFile) readRow(line int, record []string) {
	if len(record) != len(f.columns) {
		f.problem(line, "", "it has %d fields, and there are %d columns", len(record), len(f.columns))
		return
	}
	before := len(f.problems)
	row := importRow{line: line, key: f.newKey()}
	for i, column := range f.columns {
		field := strings.TrimSpace(record[i])
		if len(field) > maxImportField {
			f.problem(line, column, "it has %d bytes; at most %d are read", len(field), maxImportField)
			continue
		}
		if field == "" && column != columnName && column != columnSHA256 {
			continue
		}
		if err := importColumns[column](f, &row, strings.Clone(field)); err != nil {
			f.problem(line, column, "%v", err)
		}
	}
	f.requireRest(&row)
	if len(f.problems) == before && f.isNew(&row) {
		f.rows = append(f.rows, row)
	}
}

func (f *importFile) newKey() *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ApiKey"},
		ObjectMeta: metav1.ObjectMeta{Namespace: f.defaults.namespace},
	}
	if f.defaults.group != "" {
		key.Spec.GroupRef, _ = parseImportGroup(f.defaults.group) // the flag was checked
	}
	for _, project := range f.defaults.projects {
		key.Spec.Projects = append(key.Spec.Projects, v1alpha1.ProjectName(project))
	}
	key.Spec.ImportFrom = &v1alpha1.ImportSource{}
	return key
}

// requireRest reports what neither the row nor a flag says, and what contradicts itself.
func (f *importFile) requireRest(row *importRow) {
	spec := &row.key.Spec
	if spec.ExpiresAfter = row.expiresAfter; row.expiresAfter == "" && spec.ExpiresAt == nil {
		spec.ExpiresAfter = v1alpha1.Lifetime(f.defaults.lifetime)
	}
	if spec.GroupRef.Name == "" {
		f.problem(row.line, columnGroup, "it is empty; name the Group, or add --group")
	}
	if len(spec.Projects) == 0 {
		f.problem(row.line, columnProjects, "it is empty; name a project, or add --project")
	}
	if spec.ExpiresAt != nil && row.expiresAfter != "" {
		f.problem(row.line, columnExpiresAfter, "expiresAt is there, too; leave one of them empty")
	}
	if preview := spec.ImportFrom.Preview; preview != "" && keyformat.DigestOf(preview) == row.digest {
		f.problem(row.line, columnPreview, "it is the whole key; write a few of its characters")
	}
}

// isNew reports whether no earlier line has the name or the hash.
func (f *importFile) isNew(row *importRow) bool {
	name := row.key.Namespace + "/" + row.key.Name
	if other, is := f.names[name]; is {
		f.problem(row.line, columnName, "line %d has the same name; ApiKeys of a namespace have different names", other)
		return false
	}
	if other, is := f.digests[row.digest]; is {
		f.problem(row.line, columnSHA256, "line %d has the same hash; each key has one ApiKey: leave one of them out", other)
		return false
	}
	f.names[name], f.digests[row.digest] = row.line, row.line
	return true
}
