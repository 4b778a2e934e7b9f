// Dashboards writes the Grafana dashboards of config/monitoring.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards DIRECTORY")
		os.Exit(2)
	}
	for name, build := range map[string]func() *board{
		"keyward-platform": platform, "keyward-group": group, "keyward-business": business,
	} {
		if err := write(filepath.Join(os.Args[1], name+".json"), build().Uid(name)); err != nil {
			fmt.Fprintln(os.Stderr, "dashboards:", err)
			os.Exit(1)
		}
	}
}

func write(path string, builder *board) error {
	built, err := builder.Build()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	text, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
