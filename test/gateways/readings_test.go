package gateways

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reading is how one content server reads a request, in each way in which its applications can, by the name of the way.
type reading struct {
	// Classes are the results of routers, and Paths are what applications compare themselves.
	Classes, Paths map[string]string
	// Params are the values of a parameter, by its name.
	Params map[string]map[string][]string
	Hosts  map[string]string
	// Methods are how the request is carried out.
	Methods map[string]string
}

// Paths of one project, and parameters that choose between others.
const (
	classWebsite = "website"
	classSecret  = "secret"
	classTree    = "tree"
	classQuery   = "q" // by siteId
	classTenant  = "t" // by tenant_id, which has a character that other names are folded into
)

const (
	websiteHost = "cdn.acme.example"
	otherHost   = "other.example"
)

// classOf is the simplest reading of a path: by the prefix of whole segments.
func classOf(path string) string {
	under := func(prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }
	switch {
	case under("/secret"), under("/report.php"), path == "/report", path == "/report/":
		return classSecret
	case under("/docs/tree"):
		return classTree
	case under("/q"):
		return classQuery
	case under("/t"):
		return classTenant
	default:
		return classWebsite
	}
}

// ownersOf returns the projects whose content an application would serve that reads the request this way. With more than
// one value, there may be applications that use any of them.
func ownersOf(host, class string, params map[string][]string) []string {
	switch canonicalHost(host) {
	case websiteHost:
	case otherHost:
		return []string{"other"}
	default:
		return []string{"of the host " + host}
	}
	switch class {
	case classQuery:
		return choices("site", params["siteId"])
	case classTenant:
		return choices("tenant", params["tenant_id"])
	}
	return []string{class}
}

func choices(prefix string, values []string) []string {
	if len(values) == 0 {
		return []string{classWebsite}
	}
	var owners []string
	for _, value := range values {
		if value == "42" || value == "43" {
			owners = append(owners, prefix+value)
		} else {
			owners = append(owners, classWebsite)
		}
	}
	return owners
}

// canonicalHost is as lenient as servers that look for a host by name, and not more.
func canonicalHost(host string) string {
	name, port, found := strings.Cut(host, ":")
	if found && strings.Trim(port, "0123456789") != "" {
		return host
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// differences returns the ways in which the request is read as another project's, or as another method, than was decided.
func (r *reading) differences(project, method string) []string {
	classes := maps.Clone(r.Classes)
	if classes == nil {
		classes = map[string]string{}
	}
	for way, path := range r.Paths {
		classes[fmt.Sprintf("%s %q", way, path)] = classOf(path)
	}
	params := r.Params
	var found []string
	for pathWay, class := range classes {
		for paramWay, values := range params {
			for hostWay, host := range r.Hosts {
				for _, owner := range ownersOf(host, class, values) {
					if owner != project {
						found = append(found, fmt.Sprintf("%s's, by %s, %s %v, %s %q", owner, pathWay, paramWay, values, hostWay, host))
					}
				}
			}
		}
	}
	for way, carried := range r.Methods {
		if carried != method {
			found = append(found, fmt.Sprintf("method %s, by %s", carried, way))
		}
	}
	slices.Sort(found)
	return found
}

// forgive is about a reader that does not find the content of the project that was decided on, and serves the website
// instead: nobody reads more than they may. This happens if a router compares paths as they were sent, and if it respects
// a slash at the end of a path, without which the path would be the project's.
func (r *reading) forgive(reader *contentReader, target, project string) {
	path, _, _ := strings.Cut(target, "?")
	encoded, slash := reader.decodesNothing && strings.Contains(path, "%"), strings.HasSuffix(path, "/")
	for way, class := range r.Classes {
		if class == classWebsite && project != classWebsite && (encoded || slash) {
			delete(r.Classes, way)
		}
	}
	for way, path := range r.Paths {
		if slash && classOf(path) == classWebsite && project != classWebsite {
			delete(r.Paths, way)
		}
	}
}
