package plugin

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Columns that code names.
const (
	columnName     = "name"
	columnSHA256   = "sha256"
	columnPreview  = "preview"
	columnGroup    = "group"
	columnProjects = "projects"

	columnExpiresAfter = "expiresafter"
)

// importColumns are the columns that a file may have, and how each is read. A field is not empty, unless the column is required.
var importColumns = map[string]func(*importFile, *importRow, string) error{
	columnName:         readImportName,
	columnSHA256:       readImportHash,
	columnPreview:      readImportPreview,
	columnGroup:        readImportGroup,
	columnProjects:     readImportProjects,
	"namespace":        readImportNamespace,
	"permissions":      readImportPermissions,
	"description":      readImportDescription,
	"expiresat":        readImportExpiresAt,
	columnExpiresAfter: readImportExpiresAfter,
	"rotationevery":    readImportEvery,
	"labels":           readImportLabels,
}

func columnNames() string {
	return strings.Join(slices.Sorted(maps.Keys(importColumns)), ", ")
}

func readImportName(_ *importFile, row *importRow, field string) error {
	switch {
	case field == "":
		return errors.New("it is empty; each ApiKey has a name")
	case len(validation.IsDNS1123Subdomain(field)) > 0:
		return errors.New("no ApiKey can have such a name: write lower case letters, digits, '-' and '.', at most 253")
	}
	row.key.Name = field
	return nil
}

func readImportHash(_ *importFile, row *importRow, field string) error {
	digest, err := keyformat.ReadSHA256(field)
	if err != nil {
		return errors.New("it is no SHA-256 of a text: write 64 hexadecimal digits, or 43 characters of base64; a key itself must not be in " +
			"the file, and other hashes cannot be imported")
	}
	row.digest, row.key.Spec.ImportFrom.SHA256 = digest, field
	return nil
}

var importPreview = regexp.MustCompile(`^[!-~…]+$`)

func readImportPreview(_ *importFile, row *importRow, field string) error {
	const most = 32
	if utf8.RuneCountInString(field) > most || !importPreview.MatchString(field) {
		return fmt.Errorf("write at most %d printable ASCII characters, or …, without spaces", most)
	}
	row.key.Spec.ImportFrom.Preview = field
	return nil
}

func readImportGroup(_ *importFile, row *importRow, field string) (err error) {
	row.key.Spec.GroupRef, err = parseImportGroup(field)
	return err
}

// parseImportGroup reads the name of a Group, or its namespace, '/' and its name.
func parseImportGroup(text string) (ref v1alpha1.GroupReference, err error) {
	namespace, name, has := strings.Cut(text, "/")
	if !has {
		namespace, name = "", text
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 || has && len(validation.IsDNS1123Label(namespace)) > 0 {
		return ref, errors.New("write the name of a Group, or its namespace, / and its name")
	}
	return v1alpha1.GroupReference{Name: name, Namespace: namespace}, nil
}

func readImportNamespace(_ *importFile, row *importRow, field string) error {
	if len(validation.IsDNS1123Label(field)) > 0 {
		return errors.New("write the name of a namespace")
	}
	row.key.Namespace = field
	return nil
}

// importList splits a field with several values, which spaces or semicolons separate.
func importList(field string) []string {
	return strings.FieldsFunc(field, func(r rune) bool { return r == ' ' || r == ';' })
}

func readImportProjects(_ *importFile, row *importRow, field string) error {
	row.key.Spec.Projects = nil
	for _, project := range importList(field) {
		row.key.Spec.Projects = append(row.key.Spec.Projects, v1alpha1.ProjectName(project))
	}
	return nil
}

func readImportPermissions(_ *importFile, row *importRow, field string) error {
	for _, permission := range importList(field) {
		row.key.Spec.Permissions = append(row.key.Spec.Permissions, v1alpha1.PermissionName(permission))
	}
	return nil
}

func readImportDescription(_ *importFile, row *importRow, field string) error {
	const most = 500
	if n := utf8.RuneCountInString(field); n > most {
		return fmt.Errorf("it has %d characters; at most %d", n, most)
	}
	row.key.Spec.Description = field
	return nil
}

func readImportExpiresAt(f *importFile, row *importRow, field string) error {
	at, err := time.Parse(time.RFC3339, field)
	if err != nil {
		at, err = time.Parse(time.DateOnly, field)
	}
	if err != nil {
		return errors.New("write an instant such as 2027-01-31T12:00:00Z, or a day such as 2027-01-31")
	}
	at = at.UTC().Truncate(time.Second)
	row.key.Spec.ExpiresAt = &metav1.Time{Time: at}
	row.expired = !at.After(f.now.Time)
	return nil
}

func readImportExpiresAfter(_ *importFile, row *importRow, field string) error {
	if _, err := grant.ParseDuration(v1alpha1.Duration(field)); err != nil && field != string(v1alpha1.LifetimeNever) {
		return errors.New("write a duration such as 90d, or Never")
	}
	row.expiresAfter = v1alpha1.Lifetime(field)
	return nil
}

func readImportEvery(_ *importFile, row *importRow, field string) error {
	if _, err := grant.ParseDuration(v1alpha1.Duration(field)); err != nil {
		return errors.New("write a duration such as 60d")
	}
	row.key.Spec.Rotation.Every = v1alpha1.Duration(field)
	return nil
}

func readImportLabels(_ *importFile, row *importRow, field string) error {
	labels := map[string]string{}
	for _, label := range importList(field) {
		name, value, ok := strings.Cut(label, "=")
		if !ok || len(validation.IsQualifiedName(name)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
			return errors.New("write labels such as team=web tier=1")
		}
		labels[name] = value
	}
	row.key.Labels = labels
	return nil
}
