package grant

import (
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/secrettemplate"
)

// TemplateProblems returns all that is wrong with the templates of a key's Secret.
func TemplateProblems(key *v1alpha1.ApiKey) Problems {
	var problems Problems
	for _, e := range secrettemplate.CheckAll(key.Spec.Secret.Template.Data) {
		path := "spec.secret.template.data"
		if e.Entry != "" {
			path += "[" + e.Entry + "]"
		}
		problem := invalid(path, nil, e.Err.Error())
		problem.Reason = v1alpha1.ReasonSecretTemplateInvalid
		problems = append(problems, problem)
	}
	return problems
}

// Template returns the first problem of TemplateProblems, or nil.
func Template(key *v1alpha1.ApiKey) *Problem { return TemplateProblems(key).First() }
