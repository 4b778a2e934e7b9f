package gatewaykits

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPages: every kit has a page, and a row that says what checked it.
func TestPages(t *testing.T) {
	overview := string(read(t, "docs/gateways.md"))
	dirs, err := os.ReadDir(filepath.Join(root, "config/gateways"))
	if err != nil {
		t.Fatal(err)
	}
	// The first four are run by test/gateways, which also reads the protobufs of the next one.
	elsewhere, unchecked := []string{"nginx", "haproxy", "caddy", "traefik", "envoy"}, []string{"kgateway", "apisix", "kong"}
	for _, dir := range dirs {
		name := dir.Name()
		page := string(read(t, "docs/gateways", name+".md"))
		row := ""
		for line := range strings.Lines(overview) {
			if strings.HasPrefix(line, "| [") && strings.Contains(line, "(gateways/"+name+".md)") {
				row = line
			}
		}
		files, err := os.ReadDir(filepath.Join(root, "config/gateways", name))
		if err != nil || row == "" {
			t.Fatalf("%s: no row in docs/gateways.md, %v", name, err)
		}
		for _, file := range files {
			if link := "config/gateways/" + name + "/" + file.Name(); !strings.Contains(row, link) || !strings.Contains(page, link) {
				t.Errorf("%s is missing in the row or the page of %s", link, name)
			}
		}
		if slices.Contains(elsewhere, name) {
			continue
		}
		cells := strings.Split(row, " | ")
		schema, run := cells[len(cells)-2], strings.TrimRight(cells[len(cells)-1], " |\n")
		if (schema == "**no**") != slices.Contains(unchecked, name) || run == "yes" {
			t.Errorf("%s: the row says %q, %q", name, schema, run)
		}
		if text := strings.ToLower(strings.Join(strings.Fields(page), " ")); !strings.Contains(text, "has run this file") &&
			!strings.Contains(text, "has run these files") && !strings.Contains(text, "have checked this file") {
			t.Errorf("the page of %s does not say that nothing has run its kit", name)
		}
	}
}
