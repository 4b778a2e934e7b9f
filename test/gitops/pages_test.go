package gitops

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	// pageStep is a block of commands, with what is above it, or a place at which the tool synchronizes a directory.
	pageStep = regexp.MustCompile("(?ms)^(?:(<!-- not tested: [^\n]+ -->)\n)?```sh\n(.*?)^```$|^<!-- sync: (\\S+) -->$")
	// pages are run in this order, each with the tool that it is about.
	pages = []struct{ path, tool string }{
		{"docs/how-to/gitops.md", ""},
		{"docs/how-to/argocd.md", "Argo CD, ServerSideApply=true"},
		{"docs/how-to/flux.md", "Flux"},
	}
)

// TestPages runs every command of the pages, in the order of the page, in a directory that has config beside it.
func TestPages(t *testing.T) {
	c := needCluster(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "argocd"}}
	if err := c.admin.Create(t.Context(), namespace); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "argocd", Name: "argocd-cm"}, Data: map[string]string{"url": "https://argocd.acme.example"},
	}
	if err := c.admin.Create(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		t.Run(page.path, func(t *testing.T) {
			text := read(t, page.path)
			steps := pageStep.FindAllStringSubmatch(text, -1)
			if got, want := strings.Count(text, "```sh\n"), strings.Count(pageStep.ReplaceAllString(text, ""), "```sh\n"); want != 0 {
				t.Fatalf("the test does not see %d of %d blocks", want, got)
			}
			r := &reader{cluster: c, t: t, dir: t.TempDir(), page: page.path, tool: page.tool}
			r.at = r.dir
			if err := os.Symlink(filepath.Join(root, "config"), filepath.Join(r.dir, "config")); err != nil {
				t.Fatal(err)
			}
			for _, step := range steps {
				switch {
				case step[3] != "":
					r.sync(step[3])
				case step[1] == "":
					r.run(step[2])
				}
			}
		})
	}
	if err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(settings), settings); err != nil {
		t.Fatal(err)
	}
	if settings.Data["url"] == "" || settings.Data["resource.customizations.health.keyward.dev_ApiKey"] == "" {
		t.Errorf("after the page, the ConfigMap has %q", sorted(settings.Data))
	}
}

// reader does what a page says.
type reader struct {
	*cluster
	t                   *testing.T
	dir, at, page, tool string
	namespaces          []string // that the page has declared
}

// declared requires that the page has declared the namespaces of all objects: another test may have made them in this cluster.
func (r *reader) declared(manifests string) {
	r.t.Helper()
	objects := parse(r.t, manifests)
	for _, u := range objects {
		if u.GetKind() == "Namespace" {
			r.namespaces = append(r.namespaces, u.GetName())
		}
	}
	for _, u := range objects {
		if namespace := u.GetNamespace(); namespace != "" && !slices.Contains(r.namespaces, namespace) {
			r.t.Fatalf("%s: nothing makes the namespace %s of %s %s", r.page, namespace, u.GetKind(), u.GetName())
		}
	}
}

// run runs a block of commands, from where the last one has gone.
func (r *reader) run(block string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	where := filepath.Join(r.dir, "where")
	output, err := r.command(ctx, r.at, "", "bash", "-euo", "pipefail", "-c", block+"\npwd >"+where)
	if err != nil {
		r.t.Fatalf("%s:\n%s%s%v", r.page, block, output, err)
	}
	at, err := os.ReadFile(where)
	if err != nil {
		r.t.Fatal(err)
	}
	r.at = strings.TrimSpace(string(at))
}

// sync does what the tool does with the last commit of the repository.
func (r *reader) sync(path string) {
	r.t.Helper()
	if status, err := r.command(r.t.Context(), r.at, "", "git", "status", "--porcelain"); err != nil || status != "" {
		r.t.Fatalf("not everything is committed: %s %v", status, err)
	}
	files, err := filepath.Glob(filepath.Join(r.at, path, "*.yaml"))
	if err != nil || len(files) == 0 {
		r.t.Fatalf("%s is empty: %v", path, err)
	}
	var manifests strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		manifests.WriteString(string(text) + "\n---\n")
	}
	r.declared(manifests.String())
	for i := range tools {
		if tools[i].name == r.tool {
			p := &place{cluster: r.cluster, t: r.t, tool: &tools[i], namespace: "default"}
			p.declares(manifests.String())
			if r.tool == "Flux" {
				f := r.flux(r.t, kustomizev1.Kustomization{})
				if drifted := f.drift(r.t, parse(r.t, manifests.String())); len(drifted) > 0 {
					r.t.Errorf("drift: %q", drifted)
				}
			}
			return
		}
	}
	r.t.Fatalf("there is no tool %q", r.tool)
}
