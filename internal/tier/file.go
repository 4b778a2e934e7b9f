package tier

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/configfile"
)

// The type of the manager's configuration file.
const (
	FileAPIVersion = "config.keyward.dev/v1alpha1"
	FileKind       = "ManagerConfiguration"
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$`)

type fields = configfile.Fields

type file struct {
	APIVersion  string   `json:"apiVersion"`
	Kind        string   `json:"kind"`
	DefaultTier string   `json:"defaultTier"`
	Tiers       []fields `json:"tiers"`
}

type fileTier struct {
	Name     string `json:"name"`
	AuditLog bool   `json:"auditLog"`
	Limits   fields `json:"limits"`
}

var fileHints = map[string]string{
	"apiVersion":  "write " + FileAPIVersion,
	"kind":        "write " + FileKind,
	"defaultTier": "write the name of a tier",
	"tiers":       "write a list of tiers, each an object",
	"name":        nameHint,
	"auditLog":    "write true or false",
	"limits":      "write an object such as {keys: 10}",
}

const nameHint = "write 1 to 63 letters, digits and dashes, with no dash at the ends"

// Load reads the catalogue from the manager's configuration file. An error is one line that
// names the file, what is wrong where, and how to fix it.
func Load(path string) (*Catalogue, error) { return configfile.Load(path, Parse) }

// Parse reads the catalogue from the text of a configuration file, strictly: a field that is
// unknown, is given twice, or has an invalid value is an error. A text without tiers
// results in the built-in ones.
func Parse(data []byte) (*Catalogue, error) {
	top, err := configfile.Parse(data)
	if err != nil {
		return nil, err
	}
	var f file
	problems := configfile.Decode(&f, top, nil, fileHints)
	if len(problems) == 0 && (f.APIVersion != FileAPIVersion || f.Kind != FileKind) {
		return nil, fmt.Errorf("apiVersion and kind: %q and %q are not known; write apiVersion: %s and kind: %s",
			f.APIVersion, f.Kind, FileAPIVersion, FileKind)
	}
	unread := slices.ContainsFunc(problems, func(e *field.Error) bool { return e.Field == "tiers" })
	catalogue, more := f.catalogue(!unread)
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, errors.New(configfile.OneLine(problems.ToAggregate()))
	}
	return catalogue, nil
}

// catalogue returns what is written. With complete, it has all tiers, so that it is known which ones there are not.
func (f *file) catalogue(complete bool) (*Catalogue, field.ErrorList) {
	catalogue := &Catalogue{Tiers: Builtin().Tiers, Default: f.DefaultTier}
	if f.Tiers != nil {
		catalogue.Tiers = make([]Tier, 0, len(f.Tiers))
	}
	var problems field.ErrorList
	for i, written := range f.Tiers {
		tier, wrong := parseTier(written, field.NewPath("tiers").Index(i))
		problems = append(problems, wrong...)
		if catalogue.Find(tier.Name) != nil {
			problems = append(problems, &field.Error{
				Type: field.ErrorTypeDuplicate, Field: fmt.Sprintf("tiers[%d].name", i), BadValue: tier.Name,
				Detail: "rename one, or remove it",
			})
		}
		catalogue.Tiers = append(catalogue.Tiers, tier)
	}
	if complete && f.DefaultTier != "" && catalogue.Find(f.DefaultTier) == nil {
		problems = append(problems, &field.Error{
			Type: field.ErrorTypeNotFound, Field: "defaultTier", BadValue: f.DefaultTier,
			Detail: fmt.Sprintf("there is no such tier in the catalogue, %s; add it, or name another", catalogue.names()),
		})
	}
	return catalogue, problems
}

// parseTier names a tier in errors by its position, and by its name where that is valid.
func parseTier(written fields, path *field.Path) (Tier, field.ErrorList) {
	var name string
	if raw, has := written["name"]; has {
		_ = stdjson.Unmarshal(raw, &name) // or else Decode reports it
	}
	var problems field.ErrorList
	if nameForm.MatchString(name) {
		path = field.NewPath(fmt.Sprintf("%s (%s)", path, name))
	} else {
		problems = append(problems, field.Invalid(path.Child("name"), name, nameHint))
		delete(written, "name")
	}
	retention, wrong := parseLogRetention(written["logRetention"], path)
	problems = append(problems, wrong...)
	size, wrong := parseLogSize(written["logSize"], path)
	problems = append(problems, wrong...)
	delete(written, "logRetention")
	delete(written, "logSize")
	var t fileTier
	problems = append(problems, configfile.Decode(&t, written, path, fileHints)...)
	tier := Tier{Name: name, AuditLog: t.AuditLog, LogRetention: retention, LogSize: size}
	return tier, append(problems, parseLimits(&tier.Limits, t.Limits, path.Child("limits"))...)
}

func parseLimits(limits *v1alpha1.Limits, written fields, path *field.Path) field.ErrorList {
	hints := hints()
	var problems field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(written)) {
		// It could be meant as nothing at all, or as no limit.
		if hint, known := hints[name]; known && string(written[name]) == "null" {
			problems = append(problems, field.Required(path.Child(name), hint))
		}
	}
	problems = append(problems, configfile.Decode(limits, written, path, hints)...)
	reported := map[string]bool{} // a value that was not read is not to be judged as well
	for _, problem := range problems {
		reported[problem.Field] = true
	}
	if limits.Burst != nil && limits.RequestsPerSecond == nil && !reported[path.Child("burst").String()] {
		problems = append(problems, field.Required(path.Child("requestsPerSecond"),
			"burst has no effect without it; set it, or remove burst"))
	}
	for _, problem := range ValidateLimits(limits, path) {
		if !reported[problem.Field] {
			problems = append(problems, problem)
		}
	}
	return problems
}
