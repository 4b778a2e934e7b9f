package config

import (
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/internal/configfile"
)

const (
	secretTwice = "secretFile is set, too; remove one of them"
	refHint     = "write the name of a Secret in the namespace of the manager, and its key, such as {name: keyward-sinks, key: siem}"
)

// SecretRef names an entry of a Secret.
type SecretRef struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

func (p *parser) has(name string) bool {
	_, has := p.written[name]
	return has
}

// secretRef reads which Secret is used in place of a file.
func (p *parser) secretRef(s *Sink, written configfile.Fields) {
	if !p.has("secretRef") {
		return
	}
	path := p.path.Child("secretRef")
	problems := configfile.Decode(&s.SecretRef, written, path, hints)
	switch {
	case len(problems) > 0:
	case s.SecretFile != "":
		problems = append(problems, field.Forbidden(path, secretTwice))
	default:
		if len(validation.IsDNS1123Subdomain(s.SecretRef.Name)) > 0 {
			problems = append(problems, field.Invalid(path.Child("name"), s.SecretRef.Name, refHint))
		}
		if len(validation.IsConfigMapKey(s.SecretRef.Key)) > 0 {
			problems = append(problems, field.Invalid(path.Child("key"), s.SecretRef.Key, refHint))
		}
	}
	p.problems = append(p.problems, problems...)
}
