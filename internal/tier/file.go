package tier

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// The type of the manager's configuration file.
const (
	FileAPIVersion = "config.keyward.dev/v1alpha1"
	FileKind       = "ManagerConfiguration"
)

// The bounds are those of the API, so that whatever a tier says can be said in status.limits.
const (
	maxKeys     = 1_000_000
	maxRequests = 1_000_000_000_000_000
	maxRate     = 1_000_000
	maxBurst    = 1_000_000
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$`)

type file struct {
	APIVersion  string     `json:"apiVersion"`
	Kind        string     `json:"kind"`
	DefaultTier string     `json:"defaultTier"`
	Tiers       []fileTier `json:"tiers"`
}

type fileTier struct {
	Name     string     `json:"name"`
	AuditLog scalar     `json:"auditLog"`
	Limits   fileLimits `json:"limits"`
}

type fileLimits struct {
	Keys               scalar `json:"keys"`
	RequestsPerMonth   scalar `json:"requestsPerMonth"`
	BytesPerMonth      scalar `json:"bytesPerMonth"`
	Overage            scalar `json:"overage"`
	QuotaFailurePolicy scalar `json:"quotaFailurePolicy"`
	RequestsPerSecond  scalar `json:"requestsPerSecond"`
	Burst              scalar `json:"burst"`
}

// scalar is a text, number or truth value as it is written, so that what is wrong with it is
// told with its path; nil where it is left out.
type scalar []byte

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalar) UnmarshalJSON(data []byte) error {
	*s = bytes.Clone(data)
	return nil
}

// text is the value without its quotes.
func (s *scalar) text() string {
	if text, err := strconv.Unquote(string(*s)); err == nil {
		return text
	}
	return string(*s)
}

// Load reads the catalogue from the manager's configuration file. An error is one line that
// names the file, what is wrong where, and what mends it.
func Load(path string) (*Catalogue, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	catalogue, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return catalogue, nil
}

// Parse reads the catalogue from the text of a configuration file, strictly: a field that is
// not known, or given twice, or has no good value, is an error. Without tiers in it the
// catalogue has the built-in ones.
func Parse(data []byte) (*Catalogue, error) {
	encoded, err := onlyDocument(string(data))
	if err != nil {
		return nil, err
	}
	var f file
	wrong, err := json.UnmarshalStrict(encoded, &f)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(oneLine(err), "json: "))
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%s; remove it, or correct its name", oneLine(wrong[0]))
	}
	return f.catalogue()
}

// onlyDocument is the document of a file, as JSON. What came in a second one would be left out
// by decoders of one.
func onlyDocument(text string) ([]byte, error) {
	only := []byte("{}")
	var document strings.Builder
	found := false
	end := func() error {
		encoded, err := yaml.YAMLToJSONStrict([]byte(document.String()))
		switch {
		case err != nil && strings.Contains(err.Error(), "already set in map"):
			return fmt.Errorf("%s; give it once", oneLine(err))
		case err != nil:
			return errors.New(oneLine(err))
		case string(encoded) == "null": // comments only
			return nil
		case found:
			return errors.New("there is more than one document; write all in one, without ---")
		}
		only, found = encoded, true
		return nil
	}
	lines := 0
	for line := range strings.Lines(text) {
		lines++
		if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "...") {
			document.WriteString(line)
			continue
		}
		if err := end(); err != nil {
			return nil, err
		}
		document.Reset()
		document.WriteString(strings.Repeat("\n", lines-1)) // errors tell lines of the file
		document.WriteString("   " + line[3:])
	}
	err := end()
	return only, err
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

func (f *file) catalogue() (*Catalogue, error) {
	if f.APIVersion != FileAPIVersion || f.Kind != FileKind {
		return nil, fmt.Errorf("apiVersion and kind: %q and %q are not known; write apiVersion: %s and kind: %s",
			f.APIVersion, f.Kind, FileAPIVersion, FileKind)
	}
	catalogue := &Catalogue{Tiers: Builtin().Tiers, Default: f.DefaultTier}
	if f.Tiers != nil {
		catalogue.Tiers = make([]Tier, 0, len(f.Tiers))
	}
	for i := range f.Tiers {
		of := &f.Tiers[i]
		path := fmt.Sprintf("tiers[%d]", i)
		switch {
		case !nameForm.MatchString(of.Name):
			return nil, fmt.Errorf("%s.name: %q is no name; write 1 to 63 letters, digits and dashes, dashes not at the ends", path, of.Name)
		case catalogue.Find(of.Name) != nil:
			return nil, fmt.Errorf("%s.name: %s is there twice; rename one, or remove it", path, of.Name)
		}
		parsed, err := of.parse(path + " (" + of.Name + ")")
		if err != nil {
			return nil, err
		}
		catalogue.Tiers = append(catalogue.Tiers, *parsed)
	}
	if f.DefaultTier != "" && catalogue.Find(f.DefaultTier) == nil {
		return nil, fmt.Errorf("defaultTier: there is no tier %q, %s; add it, or name another", f.DefaultTier, catalogue.names())
	}
	return catalogue, nil
}

func (t *fileTier) parse(path string) (*Tier, error) {
	parsed := &Tier{Name: t.Name}
	switch written := string(t.AuditLog); written {
	case "", "false":
	case "true":
		parsed.AuditLog = true
	default:
		return nil, fmt.Errorf("%s.auditLog: %s is neither true nor false", path, written)
	}
	var err error
	if parsed.Limits.Keys, err = t.Limits.Keys.small(path+".limits.keys", 0, maxKeys); err != nil {
		return nil, err
	}
	if parsed.Limits.RequestsPerMonth, err = t.Limits.RequestsPerMonth.number(path+".limits.requestsPerMonth", 0, maxRequests); err != nil {
		return nil, err
	}
	if parsed.Limits.RequestsPerSecond, err = t.Limits.RequestsPerSecond.small(path+".limits.requestsPerSecond", 1, maxRate); err != nil {
		return nil, err
	}
	if parsed.Limits.Burst, err = t.Limits.Burst.small(path+".limits.burst", 1, maxBurst); err != nil {
		return nil, err
	}
	if parsed.Limits.Burst != nil && parsed.Limits.RequestsPerSecond == nil {
		return nil, fmt.Errorf("%s.limits.burst: it means nothing without requestsPerSecond; set that, or remove burst", path)
	}
	if parsed.Limits.BytesPerMonth, err = t.Limits.BytesPerMonth.quantity(path + ".limits.bytesPerMonth"); err != nil {
		return nil, err
	}
	if parsed.Limits.Overage, err = choice(t.Limits.Overage, path+".limits.overage", v1alpha1.OverageBlock, v1alpha1.OverageMeter); err != nil {
		return nil, err
	}
	parsed.Limits.QuotaFailurePolicy, err = choice(t.Limits.QuotaFailurePolicy, path+".limits.quotaFailurePolicy", v1alpha1.QuotaFailureAllow, v1alpha1.QuotaFailureDeny)
	return parsed, err
}

func (s scalar) number(path string, least, most int64) (*int64, error) {
	if s == nil {
		return nil, nil
	}
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil || n < least || n > most {
		return nil, fmt.Errorf("%s: %s is no whole number from %d to %d; correct it, or leave it out for no limit", path, s, least, most)
	}
	return &n, nil
}

func (s scalar) small(path string, least, most int32) (*int32, error) {
	n, err := s.number(path, int64(least), int64(most))
	if n == nil {
		return nil, err
	}
	return new(int32(*n)), nil //nolint:gosec // it is at most most
}

func (s scalar) quantity(path string) (*resource.Quantity, error) {
	if s == nil {
		return nil, nil
	}
	parsed, err := resource.ParseQuantity(s.text())
	if err != nil || parsed.Sign() < 0 || !representable(parsed) {
		return nil, fmt.Errorf("%s: %s is no number of bytes; write one such as 100G or 500Gi, or leave it out for no limit", path, s)
	}
	return &parsed, nil
}

// representable is whether the quantity is a whole number that 64 bits hold.
func representable(q resource.Quantity) bool {
	_, ok := q.AsInt64()
	return ok
}

func choice[T ~string](s scalar, path string, of ...T) (T, error) {
	if s == nil {
		return "", nil
	}
	options := make([]string, 0, len(of))
	for _, option := range of {
		if s.text() == string(option) {
			return option, nil
		}
		options = append(options, string(option))
	}
	return "", fmt.Errorf("%s: %s is not known; write %s", path, s, strings.Join(options, " or "))
}
