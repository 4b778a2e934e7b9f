// Package version knows which version of Keyward a program is.
package version

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// The linker sets both in programs that make builds. In others, such as those that go install builds, they are empty, and what
// the go command recorded is used.
var version, revision string

// unknown is what is reported for what nobody recorded.
const unknown = "unknown"

// Info says what a program was built from.
type Info struct {
	Version   string // v0.1.0, or a pseudo-version of Go for what is between two releases
	Revision  string // of Git
	GoVersion string
}

// Get returns what this program was built from.
func Get() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return resolve(version, revision, build)
}

func resolve(version, revision string, build *debug.BuildInfo) Info {
	if version == "" && build.Main.Version != "(devel)" {
		version = build.Main.Version
	}
	if revision == "" {
		revision = setting(build, "vcs.revision")
		if revision != "" && setting(build, "vcs.modified") == "true" {
			revision += "-dirty"
		}
	}
	return Info{
		Version:   cmp.Or(version, unknown),
		Revision:  cmp.Or(revision, unknown),
		GoVersion: runtime.Version(),
	}
}

func setting(build *debug.BuildInfo, key string) string {
	for _, s := range build.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// String returns the text that --version prints behind the name of the program.
func (i Info) String() string {
	return fmt.Sprintf("%s (revision %s, %s)", i.Version, i.Revision, i.GoVersion)
}
