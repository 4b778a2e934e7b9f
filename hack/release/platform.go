package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// platform is an operating system and an architecture, by Go's names.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// in returns the platform as a part of a file's name.
func (p platform) in(separator string) string { return p.os + separator + p.arch }

// hostPlatform is the one whose images run on this machine.
var hostPlatform = platform{"linux", runtime.GOARCH}

// released are the platforms that programs are released for. Images are for those of them that are Linux.
var released = []platform{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

// parsePlatforms reads a list such as linux/amd64,linux/arm64. An empty list stands for this machine. The order of the result does not
// depend on that of the list, so that neither does the digest of an index.
func parsePlatforms(list string) ([]platform, error) {
	if list == "" {
		return []platform{hostPlatform}, nil
	}
	var parsed []platform
	for _, text := range strings.Split(list, ",") {
		os, arch, _ := strings.Cut(text, "/")
		p := platform{os, arch}
		if !slices.Contains(released, p) {
			return nil, fmt.Errorf("platforms: %q is not known; write %s", text, names(released))
		}
		parsed = append(parsed, p)
	}
	return slices.DeleteFunc(slices.Clone(released), func(p platform) bool { return !slices.Contains(parsed, p) }), nil
}

func names(platforms []platform) string {
	texts := make([]string, len(platforms))
	for i, p := range platforms {
		texts[i] = p.String()
	}
	return strings.Join(texts, ",")
}

// onLinux returns the platforms that images can be for.
func onLinux(platforms []platform) []platform {
	return slices.DeleteFunc(slices.Clone(platforms), func(p platform) bool { return p.os != "linux" })
}
