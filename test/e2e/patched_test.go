package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// patch is a change of one source file, for a program of another kind than the one as shipped.
type patch struct {
	source   string // from the root of the repository
	old, new string
}

// buildPatched builds a program with some lines changed, and returns its path. The sources stay as they are.
func (w *world) buildPatched(name, from string, patches ...patch) string {
	w.t.Helper()
	dir := w.t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	changed := map[string]string{} // several patches may be of one file
	for _, p := range patches {
		if _, read := changed[p.source]; !read {
			code, err := os.ReadFile(filepath.Join(root, p.source))
			if err != nil {
				w.t.Fatal(err)
			}
			changed[p.source] = string(code)
		}
		if strings.Count(changed[p.source], p.old) != 1 {
			w.t.Fatalf("%s has no line %q to change for this test, or several", p.source, p.old)
		}
		changed[p.source] = strings.Replace(changed[p.source], p.old, p.new, 1)
	}
	replace := map[string]string{}
	for source, code := range changed {
		replace[filepath.Join(root, source)] = write(strings.ReplaceAll(source, "/", "-"), []byte(code))
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		w.t.Fatal(err)
	}
	binary := filepath.Join(dir, name)
	if err := goBuild(w.ctx, "-overlay", write("overlay.json", overlay), "-o", binary, from); err != nil {
		w.t.Fatal(err)
	}
	return binary
}
