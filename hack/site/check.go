package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Site is a built site.
type Site struct {
	pages map[string]*page // by path, such as /docs/api/
	files map[string]bool  // what is not a page, such as /site.css
	links int
}

// page is what a page has, and where it leads.
type page struct {
	ids      map[string]int
	links    []string // of people
	requests []string // of browsers
	tags     map[string]int
	language string
}

// Read reads a built site.
func Read(dir string) (*Site, error) {
	s := &Site{pages: map[string]*page{}, files: map[string]bool{}}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		at := "/" + filepath.ToSlash(relative)
		if path.Ext(at) != ".html" {
			s.files[at] = true
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		p, err := parse(text)
		s.pages[strings.TrimSuffix(at, "index.html")] = p
		s.links += len(p.links)
		return err
	})
	return s, err
}

// requesting are elements whose address browsers request without being asked.
var requesting = map[string]string{"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
	"embed": "src", "object": "data"}

func parse(text []byte) (*page, error) {
	p := &page{ids: map[string]int{}, tags: map[string]int{}}
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		return p, err
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		p.tags[n.Data]++
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
		}
		if id := attributes["id"]; id != "" {
			p.ids[id]++
		}
		switch {
		case n.Data == "html":
			p.language = attributes["lang"]
		case n.Data == "a" && attributes["href"] != "":
			p.links = append(p.links, attributes["href"])
		case n.Data == "link" && attributes["rel"] != "canonical":
			p.requests = append(p.requests, attributes["href"])
		case requesting[n.Data] != "" && attributes[requesting[n.Data]] != "":
			p.requests = append(p.requests, attributes[requesting[n.Data]])
		}
	}
	return p, nil
}

// Check returns what is wrong with the site. The addresses have to lead to pages of it.
func (s *Site) Check(addresses []string) (faults []error) {
	for at, p := range s.pages {
		fault := func(format string, arguments ...any) {
			faults = append(faults, fmt.Errorf("%s: %s", at, fmt.Sprintf(format, arguments...)))
		}
		for id, times := range p.ids {
			if times > 1 {
				fault("%d elements have the id %s", times, id)
			}
		}
		if p.tags["h1"] != 1 || p.tags["main"] != 1 || p.tags["nav"] == 0 || p.language == "" {
			fault("a page needs one h1, one main, nav and a language")
		}
		for _, link := range p.links {
			if err := s.leads(at, link); err != nil {
				fault("%v", err)
			}
		}
		for _, request := range p.requests {
			u, err := url.Parse(request)
			if err != nil || u.Host != "" || u.Scheme != "" && u.Scheme != "data" || u.Scheme == "" && !s.files[u.Path] {
				fault("browsers would request %q", request)
			}
		}
	}
	for _, a := range addresses {
		if err := s.leads("/", a); err != nil {
			faults = append(faults, fmt.Errorf("the code has %w", err))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

// leads returns an error if a link leads to no page, or to no anchor. Links to other sites are not followed.
func (s *Site) leads(from, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	if rest, ours := strings.CutPrefix(link, strings.TrimSuffix(base, "/")); ours {
		if u, err = url.Parse(rest); err != nil {
			return err
		}
	}
	if u.Scheme != "" || u.Host != "" {
		return nil
	}
	to := from
	if u.Path != "" {
		if to = u.Path; !strings.HasPrefix(to, "/") {
			return fmt.Errorf("%s, which is relative", link)
		}
	}
	p := s.pages[to]
	if p == nil {
		p = s.pages[to+"/"] // servers of files redirect to it
	}
	if p == nil {
		return fmt.Errorf("%s, which leads to no page", link)
	}
	if u.Fragment != "" && p.ids[u.Fragment] == 0 {
		return fmt.Errorf("%s, which leads to no anchor", link)
	}
	return nil
}
