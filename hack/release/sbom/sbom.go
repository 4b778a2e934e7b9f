package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

// MediaType is the type of the documents.
const MediaType = "application/spdx+json"

// Program is a compiled program, of which a document is written.
type Program struct {
	Name     string // of its file
	Path     string // where the file is now
	Source   string // the package that it is built from, such as ./cmd/manager
	Platform string // linux/amd64
	Version  string
	Revision string
	Created  time.Time
	Licenses Licenses
}

// Container is the image around a program.
type Container struct {
	Name   string // keyward/manager
	Digest string // of its manifest, sha256:…
	Roots  Roots
}

// Roots is the module that an image's certificates of public authorities are from.
type Roots struct{ Module, Version string }

// Write returns the document of a program, or of an image with the program if container is not nil. What a program is linked from is
// recorded in the program.
func Write(p Program, container *Container) ([]byte, error) {
	build, err := buildinfo.ReadFile(p.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Path, err)
	}
	content, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	d := &document{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT",
		Name:      fmt.Sprintf("%s %s for %s", p.Name, p.Version, p.Platform),
		Namespace: fmt.Sprintf("https://keyward.dev/spdx/%s/%s/%s", p.Name, p.Version, sum),
		Creation: creation{
			Created:  p.Created.UTC().Format(time.RFC3339),
			Creators: []string{"Organization: Keyward", "Tool: keyward-release-" + p.Version},
		},
	}
	program, err := d.addProgram(p, build, sum)
	if err != nil {
		return nil, err
	}
	described := program
	if container != nil {
		described = d.addContainer(p, container, program)
	}
	d.relate(d.ID, "DESCRIBES", described)
	out, err := json.MarshalIndent(d, "", " ")
	return append(out, '\n'), err
}

// addProgram adds a program and the modules that it is linked from.
func (d *document) addProgram(p Program, build *debug.BuildInfo, sum string) (id string, err error) {
	main := d.add(&spdxPackage{
		Name: p.Name, Version: p.Version, FileName: p.Name, Supplier: "Organization: Keyward", Purpose: "APPLICATION",
		Checksums: []checksum{{"SHA256", sum}}, LicenseDeclared: "Apache-2.0", SourceInfo: "Git revision " + p.Revision,
		References: []externalRef{purl("golang/"+build.Main.Path, p.Version, strings.TrimPrefix(p.Source, "./"))},
	})
	var unknown []error
	module := func(name, version, sum, license string) {
		if license == "" {
			unknown = append(unknown, fmt.Errorf("NOTICE does not say which licence %s %s has: run make licenses", name, version))
		}
		one := &spdxPackage{Name: name, Version: version, LicenseDeclared: license, Purpose: "LIBRARY",
			References: []externalRef{purl("golang/"+name, version, "")}}
		if sum != "" {
			one.Comment = "In go.sum it is " + sum
		}
		d.relate(main, "DEPENDS_ON", d.add(one))
	}
	module("stdlib", strings.TrimPrefix(build.GoVersion, "go"), "", p.Licenses[standardLibrary])
	for _, m := range build.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		module(m.Path, m.Version, m.Sum, p.Licenses[m.Path+" "+m.Version])
	}
	return main, errors.Join(unknown...)
}

// addContainer adds the image around a program.
func (d *document) addContainer(p Program, c *Container, program string) string {
	algorithm, sum, _ := strings.Cut(c.Digest, ":")
	image := d.add(&spdxPackage{
		Name: c.Name, Version: p.Version, Supplier: "Organization: Keyward", Purpose: "CONTAINER",
		Checksums: []checksum{{strings.ToUpper(algorithm), sum}}, LicenseDeclared: "Apache-2.0",
		References: []externalRef{purl("oci/"+c.Name[strings.LastIndex(c.Name, "/")+1:], c.Digest, "")},
	})
	d.relate(image, "CONTAINS", program)
	d.relate(image, "CONTAINS", d.add(&spdxPackage{
		Name: "ca-certificates", Version: c.Roots.Version, LicenseDeclared: "MPL-2.0", Purpose: "OTHER",
		FileName: "etc/ssl/certs/ca-certificates.crt", SourceInfo: "Mozilla's root certificates, from " + c.Roots.Module,
		References: []externalRef{purl("golang/"+c.Roots.Module, c.Roots.Version, "")},
	}))
	return image
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func (d *document) add(p *spdxPackage) string {
	p.ID = "SPDXRef-" + notInID.ReplaceAllString(p.Name+"-"+p.Version, "-")
	p.DownloadLocation, p.Copyright = noAssertion, noAssertion
	if p.LicenseDeclared == "" {
		p.LicenseDeclared = noAssertion
	}
	p.LicenseConcluded = p.LicenseDeclared
	d.Packages = append(d.Packages, p)
	return p.ID
}

func (d *document) relate(from, kind, to string) {
	d.Relationships = append(d.Relationships, relationship{from, kind, to})
}

// purl returns a package URL, by which scanners look for known vulnerabilities.
func purl(path, version, subpath string) externalRef {
	locator := "pkg:" + strings.ToLower(path) + "@" + strings.NewReplacer("+", "%2B", ":", "%3A").Replace(version)
	if subpath != "" {
		locator += "#" + subpath
	}
	return externalRef{"PACKAGE-MANAGER", "purl", locator}
}
