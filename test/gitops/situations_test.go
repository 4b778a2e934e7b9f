package gitops

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// keyNow is a key after the manager has seen it.
type keyNow struct{ *v1alpha1.ApiKey }

// outcome says in a word or two what became of a key, relative to what is wanted.
func outcome(is bool, yes, no string) string {
	if is {
		return yes
	}
	return "**" + no + "**"
}

// situation is a row of the table.
type situation struct {
	what string
	// try tries it, and says what happened. What is in bold is a surprise.
	try func(p *place) string
	// surprises says for which tools one is known and described in the page.
	surprises []string
}

const trigger = "rotation: {trigger: %q}"

var situations = []situation{
	{
		what: "A key rotates and the tool applies Git again",
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.keyward("rotate", "key", "--yes")
			return p.nothingChanges("", 2)
		},
	},
	{
		what: "Git changes `rotation.trigger`",
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.declares(p.objects(fmt.Sprintf(trigger, "a")))
			p.active(2)
			return p.nothingChanges(fmt.Sprintf(trigger, "a"), 2)
		},
	},
	{
		what: "`git revert` of a trigger, and the revert of the revert (A, B, A, B)",
		try: func(p *place) string {
			p.declares(p.objects(fmt.Sprintf(trigger, "a")))
			p.active(1)
			p.declares(p.objects(fmt.Sprintf(trigger, "b")))
			p.active(2)
			p.declares(p.objects(fmt.Sprintf(trigger, "a")))
			p.seen()
			p.declares(p.objects(fmt.Sprintf(trigger, "b")))
			return outcome(latest(p.seen().ApiKey) == 2, "rotates once", "rotates again")
		},
	},
	{
		what: "`kubectl keyward rotate`, Git has a trigger",
		try: func(p *place) string {
			p.declares(p.objects(fmt.Sprintf(trigger, "a")))
			p.active(1)
			p.keyward("rotate", "key", "--yes")
			return p.nothingChanges(fmt.Sprintf(trigger, "a"), 2)
		},
	},
	{
		what: "`kubectl keyward suspend`",
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.keyward("suspend", "key")
			p.declares(p.objects(""))
			return outcome(p.seen().Status.State == v1alpha1.KeySuspended, "stays suspended", "undone")
		},
	},
	{
		what: "`kubectl patch` with `suspended: true`", surprises: []string{"Flux"},
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.kubectl(p.t, "-n", p.namespace, "patch", "apikey", "key", "--type=merge", "-p", `{"spec":{"suspended":true}}`)
			p.declares(p.objects(""))
			return outcome(p.seen().Status.State == v1alpha1.KeySuspended, "stays suspended", "undone")
		},
	},
	{
		what: "`kubectl patch` with `suspended: true`, and then `kubectl keyward suspend`",
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.kubectl(p.t, "-n", p.namespace, "patch", "apikey", "key", "--type=merge", "-p", `{"spec":{"suspended":true}}`)
			p.keyward("suspend", "key")
			p.declares(p.objects(""))
			return outcome(p.seen().Status.State == v1alpha1.KeySuspended, "stays suspended", "undone")
		},
	},
	{
		what: "Git has `suspended: false`, and somebody suspends",
		try: func(p *place) string {
			p.declares(p.objects("suspended: false"))
			p.active(1)
			p.keyward("suspend", "key")
			if p.conflicts(p.objects("suspended: false")) {
				return "stays suspended: " + conflict
			}
			if p.seen().Status.State == v1alpha1.KeySuspended {
				return "stays suspended"
			}
			return "Git wins: resumed"
		},
	},
	{
		what: "`kubectl keyward revoke`, Git does not say so",
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.keyward("revoke", "key", "--yes")
			if err := p.tool.apply(p, p.objects("")); err != nil {
				return outcome(false, "", "apply fails")
			}
			return outcome(p.seen().Status.State == v1alpha1.KeyRevoked, "applies, stays revoked", "undone")
		},
	},
	{
		what: "Somebody widens `projects` by hand", surprises: []string{"Helm"},
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.patch(p.t, "somebody", "ApiKey", p.namespace, "key", `{"spec":{"projects":["web","app"]}}`)
			if p.conflicts(p.objects("")) {
				return outcome(false, "", "stays: "+conflict)
			}
			return outcome(slices.Equal(p.seen().Spec.Projects, []v1alpha1.ProjectName{"web"}), "taken back", "stays")
		},
	},
	{
		what: "The same with `permissions`, which Git does not have", surprises: everyTool(),
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			p.patch(p.t, "somebody", "ApiKey", p.namespace, "key", `{"spec":{"permissions":["read","write"]}}`)
			p.declares(p.objects(""))
			return outcome(len(p.seen().Spec.Permissions) == 1, "taken back", "stays")
		},
	},
	{
		what: "The same, and Git has `permissions: [read]`", surprises: []string{"Helm"},
		try: func(p *place) string {
			p.declares(p.objects("permissions: [read]"))
			p.active(1)
			p.patch(p.t, "somebody", "ApiKey", p.namespace, "key", `{"spec":{"permissions":["read","write"]}}`)
			if p.conflicts(p.objects("permissions: [read]")) {
				return outcome(false, "", "stays: "+conflict)
			}
			return outcome(len(p.seen().Spec.Permissions) == 1, "taken back", "stays")
		},
	},
	{
		what: "One commit has a new project and a key for it",
		try: func(p *place) string {
			p.declares(fmt.Sprintf(shop, p.namespace))
			group := strings.Replace(fmt.Sprintf(shop, p.namespace), "projects: [", `projects: [{name: new, routes: [{paths: ["/new/**"]}]}, `, 1)
			key := strings.Replace(fmt.Sprintf(keyOf, p.namespace, "key", "shop", ""), "[web]", "[new]", 1)
			if err := p.tool.apply(p, key+"---"+group); err != nil {
				p.t.Log(err)
				return outcome(false, "", "refused")
			}
			p.active(1)
			return "applies at once"
		},
	},
	{
		what: "An exported manifest has another cluster's `created-by`",
		try: func(p *place) string {
			manifests := annotated(p.objects(""), `keyward.dev/created-by: "somebody"`)
			for range 3 {
				if err := p.tool.apply(p, manifests); err != nil {
					p.t.Log(err)
					return outcome(false, "", "refused")
				}
			}
			return outcome(p.seen().Annotations[v1alpha1.AnnotationCreatedBy] != "somebody", "applies, with the true stamp", "forged")
		},
	},
	{
		what: "`secret.restart` has annotated a Deployment of Git",
		try: func(p *place) string {
			spec := "secret: {restart: [{kind: Deployment, name: web}]}"
			manifests := p.objects(spec) + "---" + fmt.Sprintf(workload, p.namespace)
			p.declares(manifests)
			p.active(1)
			p.keyward("rotate", "key", "--yes")
			p.awaitKey(p.t, p.namespace, "key", "restarted", func(key *v1alpha1.ApiKey) bool {
				return latest(key) == 2 && key.Status.Versions[len(key.Status.Versions)-1].RestartedAt != nil
			})
			before := p.generation()
			p.declares(manifests)
			return outcome(p.generation() == before, "no difference", "rolled back and again")
		},
	},
	{
		what: "The key is removed from Git",
		try: func(p *place) string {
			p.declares(p.objects(""))
			p.active(1)
			if err := p.tool.remove(p, fmt.Sprintf(shop, p.namespace), fmt.Sprintf(keyOf, p.namespace, "key", "shop", "")); err != nil {
				p.t.Fatal(err)
			}
			p.gone()
			return "revoked and deleted"
		},
	},
	{
		what: "The same, with `keyward.dev/prevent-deletion: \"true\"`",
		try: func(p *place) string {
			guard := func(manifests string) string { return annotated(manifests, `keyward.dev/prevent-deletion: "true"`) }
			p.declares(guard(p.objects("")))
			p.active(1)
			err := p.tool.remove(p, fmt.Sprintf(shop, p.namespace), guard(fmt.Sprintf(keyOf, p.namespace, "key", "shop", "")))
			key, lookup := p.key(p.t.Context(), p.namespace, "key")
			kept := lookup == nil && key.DeletionTimestamp == nil
			p.patch(p.t, "test", "ApiKey", p.namespace, "key", `{"metadata":{"annotations":{"keyward.dev/prevent-deletion":null}}}`)
			if err == nil {
				return outcome(kept, "kept, and the tool does not tell", "deleted")
			}
			return outcome(kept, "refused, and the tool tells", "deleted")
		},
	},
}

// everyTool are the names of all tools.
func everyTool() []string {
	var names []string
	for i := range tools {
		names = append(names, tools[i].name)
	}
	return names
}

// annotated adds an annotation to the key.
func annotated(manifests, annotation string) string {
	return strings.Replace(manifests, "metadata: {name: key,", "metadata: {annotations: {"+annotation+"}, name: key,", 1)
}

// conflict is what Helm does when somebody else has set a field, unless it may force its own value.
const conflict = "the upgrade fails with a conflict, without `--force-conflicts`"

// conflicts reports whether the tool refuses to apply Git because of a conflict.
func (p *place) conflicts(manifests string) bool {
	p.t.Helper()
	err := p.tool.apply(p, manifests)
	if err != nil && !strings.Contains(err.Error(), "conflict occurred while applying") {
		p.t.Fatal(err)
	}
	return err != nil
}

// active waits until the key is active in a version.
func (p *place) active(version int64) {
	p.t.Helper()
	p.awaitKey(p.t, p.namespace, "key", fmt.Sprintf("active in version %d", version), inState(v1alpha1.KeyActive, version))
}

// nothingChanges applies Git again, and compares all that people declare.
func (p *place) nothingChanges(spec string, version int64) string {
	p.t.Helper()
	before := p.seen()
	p.declares(p.objects(spec))
	after := p.seen()
	same := before.Generation == after.Generation && gocmp.Equal(before.Spec, after.Spec)
	return outcome(same && latest(after.ApiKey) == version, "no difference", "differs")
}

// generation is that of the Deployment web.
func (p *place) generation() int64 {
	p.t.Helper()
	found, err := p.core.AppsV1().Deployments(p.namespace).Get(p.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return found.Generation
}

// TestSituations tries every situation with every tool, and compares the results with the table in docs/how-to/gitops.md.
func TestSituations(t *testing.T) {
	c := needCluster(t)
	var mu sync.Mutex
	results := map[string]string{}
	t.Run("try", func(t *testing.T) {
		for i := range situations {
			for j := range tools {
				situation, tool := &situations[i], &tools[j]
				t.Run(situation.what+"/"+tool.name, func(t *testing.T) {
					t.Parallel()
					p := &place{cluster: c, t: t, tool: tool, namespace: c.namespace(t, "situation")}
					result := situation.try(p)
					if strings.HasPrefix(result, "**") && !slices.Contains(situation.surprises, tool.name) {
						t.Errorf("a surprise: %s", result)
					}
					mu.Lock()
					defer mu.Unlock()
					results[situation.what+tool.name] = result
				})
			}
		}
	})
	if t.Failed() {
		return
	}
	table := "| situation |"
	rule := "|---|"
	for i := range tools {
		table, rule = table+" "+tools[i].name+" |", rule+"---|"
	}
	table += "\n" + rule + "\n"
	for i := range situations {
		table += "| " + situations[i].what + " |"
		for j := range tools {
			table += " " + results[situations[i].what+tools[j].name] + " |"
		}
		table += "\n"
	}
	compareSection(t, "docs/how-to/gitops.md", "situations", table)
}

// compareSection compares a generated part of a page, or writes it with -update.
func compareSection(t *testing.T, page, name, want string) {
	t.Helper()
	begin := "<!-- begin " + name + ": written by go test -run TestSituations -update in test/gitops -->\n"
	end := "<!-- end " + name + " -->\n"
	text := read(t, page)
	before, rest, found := strings.Cut(text, begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no section %s", page, name)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, page), []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("%s: run this test with -update: %s", page, d)
	}
}

// gone waits until the key is deleted, and so revoked.
func (p *place) gone() {
	p.t.Helper()
	eventually(p.t, "the key to be gone", func(ctx context.Context) error {
		key, err := p.key(ctx, p.namespace, "key")
		if err == nil {
			return fmt.Errorf("it is %s", key.Status.State)
		}
		return client.IgnoreNotFound(err)
	})
}
