package plugin

import (
	"fmt"
	"io"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// printManifests prints the ApiKeys for a tool that applies them.
func (r *importRun) printManifests() error {
	var all strings.Builder
	for i := range r.file.rows {
		row := &r.file.rows[i]
		if row.expired {
			continue
		}
		type object struct {
			metav1.TypeMeta `json:",inline"`
			Metadata        map[string]any       `json:"metadata"`
			Spec            *v1alpha1.ApiKeySpec `json:"spec"`
		}
		metadata := map[string]any{"name": row.key.Name, "namespace": row.key.Namespace}
		if len(row.key.Labels) > 0 {
			metadata["labels"] = row.key.Labels
		}
		document, err := yaml.Marshal(object{row.key.TypeMeta, metadata, &row.key.Spec})
		if err != nil {
			return fmt.Errorf("write the ApiKeys: %w", err)
		}
		all.WriteString("---\n" + cleaned(string(document), func(c rune) string {
			if c == '\n' {
				return "\n"
			}
			return escapedForYAML(c)
		}))
	}
	_, err := io.WriteString(r.streams.Out, all.String())
	return err
}

// conclude prints what became of each line.
func (r *importRun) conclude(report *importReport) error {
	counts, order := map[string]int{}, []string{}
	for i := range report.Rows {
		result := report.Rows[i].Result
		if counts[result]++; counts[result] == 1 {
			order = append(order, result)
		}
	}
	err := r.print(report, func(p *page) {
		for _, problem := range report.Problems {
			p.line("%s: %s", r.from, problem.String())
		}
		for i := range report.Rows {
			row := &report.Rows[i]
			text := row.Result
			if row.Accepted {
				text += ", accepted"
			}
			if row.Error != "" {
				text += ": " + row.Error
			}
			p.line("%s: line %d: %s/%s %s", r.from, row.Line, row.Namespace, row.Name, text)
		}
	})
	if err != nil {
		return err
	}
	if n := len(report.Problems); n > 0 {
		more := ""
		if n >= maxImportProblems {
			more = " or more"
		}
		return usagef("nothing was created: %d%s problems, which are listed above; correct them", n, more)
	}
	texts := make([]string, 0, len(order))
	for _, result := range order {
		texts = append(texts, fmt.Sprintf("%d %s", counts[result], result))
	}
	summary := fmt.Sprintf("%d keys: %s", len(report.Rows), strings.Join(texts, ", "))
	if counts[importFailed]+counts[importNotTried] > 0 {
		return fmt.Errorf("%s; run the command again to continue", summary)
	}
	if slices.ContainsFunc(report.Rows, func(row importResult) bool { return row.refused }) {
		return refusedf("%s, and not all of them will be accepted: the lines above say why", summary)
	}
	if slices.ContainsFunc(report.Rows, func(row importResult) bool { return row.Error != "" }) {
		return coded{ExitTimeout, fmt.Errorf("%s, and not all of them are accepted", summary)}
	}
	if !r.apply {
		summary += "; add --apply to create them"
	}
	r.narrate("%s", summary)
	return nil
}
