package version

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestResolve(t *testing.T) {
	main := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "aaaa"}
	for name, c := range map[string]struct {
		version, revision string
		build             *debug.BuildInfo
		want              Info
	}{
		"the linker wins":         {"v1.2.3", "bbbb", main("v9.9.9", commit), Info{"v1.2.3", "bbbb", ""}},
		"go install of a release": {"", "", main("v1.2.3"), Info{"v1.2.3", unknown, ""}},
		"go build in a checkout": {"", "", main("v1.2.4-0.20260102030405-aaaa", commit),
			Info{"v1.2.4-0.20260102030405-aaaa", "aaaa", ""}},
		"go build in a changed checkout": {"", "", main("v1.2.3+dirty", commit, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
			Info{"v1.2.3+dirty", "aaaa-dirty", ""}},
		"go build in an unchanged checkout": {"", "", main("v1.2.3", commit, debug.BuildSetting{Key: "vcs.modified", Value: "false"}),
			Info{"v1.2.3", "aaaa", ""}},
		"go test":       {"", "", main("(devel)"), Info{unknown, unknown, ""}},
		"no build info": {"", "", &debug.BuildInfo{}, Info{unknown, unknown, ""}},
	} {
		c.want.GoVersion = runtime.Version()
		if got := resolve(c.version, c.revision, c.build); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestString(t *testing.T) {
	info := Info{"v1.2.3", "aaaa", "go1.26.0"}
	if got, want := info.String(), "v1.2.3 (revision aaaa, go1.26.0)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
