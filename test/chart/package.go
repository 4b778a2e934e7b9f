package chart

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v4/pkg/action"
)

// Package lints a chart and packages it with the version of a build. It returns the path of the package.
func Package(dir, into, version string, modified time.Time) (string, error) {
	lint := action.NewLint()
	lint.Strict = true
	if err := errors.Join(lint.Run([]string{dir}, nil).Errors...); err != nil {
		return "", fmt.Errorf("linting %s: %w", dir, err)
	}
	number, err := versionNumber(version)
	if err != nil {
		return "", err
	}
	pack := action.NewPackage()
	pack.Version, pack.AppVersion, pack.Destination, pack.SourceDateEpoch = number, version, into, &modified
	return pack.Run(dir, nil)
}

var tag = regexp.MustCompile(`^[A-Za-z0-9_][-A-Za-z0-9_.]{0,62}$`)

// versionNumber returns what git calls a build as a semantic version, which Helm requires. It is also the tag of the images, and
// the value of a label.
func versionNumber(version string) (string, error) {
	if !tag.MatchString(version) {
		return "", fmt.Errorf("the version %q cannot be the tag of an image: write 1 to 63 letters, digits and ._-, such as v0.1.0", version)
	}
	number := strings.TrimPrefix(version, "v")
	if _, err := semver.StrictNewVersion(number); err == nil {
		return number, nil
	}
	number = "0.0.0-g" + strings.ReplaceAll(version, "_", "-") // a commit may be a number with leading zeros, which g prevents
	if _, err := semver.StrictNewVersion(number); err != nil {
		return "", fmt.Errorf("the version %q: %w; write one such as v0.1.0", version, err)
	}
	return number, nil
}
