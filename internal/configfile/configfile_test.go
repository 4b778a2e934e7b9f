package configfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/internal/configfile"
)

type settings struct {
	Name string `json:"name"`
	Size int    `json:"size"`
}

// TestDecode: each wrong field is reported with its path, in the order of the names, and the others are set.
func TestDecode(t *testing.T) {
	written, err := configfile.Parse([]byte("# a comment\n---\nname: a\nsize: x\nNAME: b\nother: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	var into settings
	problems := configfile.Decode(&into, written, field.NewPath("top"), map[string]string{"size": "write a number"})
	want := `[top.NAME: Forbidden: unknown field; remove it, or correct its name, top.other: Forbidden: unknown field; remove it, or correct its name, ` +
		`top.size: Invalid value: "x": write a number]`
	if got := configfile.OneLine(problems.ToAggregate()); got != want || into.Name != "a" {
		t.Errorf("%s, %+v", got, into)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"a: 1\na: 2\n":  `yaml: unmarshal errors: line 2: key "a" already set in map; give it once`,
		"a: 1\n---\nb:": "there is more than one document; write all in one, without ---",
		"- a\n":         "cannot unmarshal array into Go value of type configfile.Fields",
	} {
		if _, err := configfile.Parse([]byte(text)); err == nil || err.Error() != says {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.yaml")
	fails := func([]byte) (*settings, error) { return nil, errors.New("wrong") }
	if _, err := configfile.Load(path, fails); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := configfile.Load(path, fails); err == nil || err.Error() != path+": wrong" {
		t.Error(err)
	}
}
