package main

import (
	"regexp"
	"strings"
)

// vocabulary is a set of rules that is quick to apply: most names and texts break none, which one pattern finds out.
type vocabulary struct {
	rules      []rule
	anyInNames *regexp.Regexp
	anyInProse *regexp.Regexp
	// names are the rules that names break, because the same names occur again and again.
	names map[string][]*rule
}

func newVocabulary(rules []rule) *vocabulary {
	return &vocabulary{
		rules:      rules,
		anyInNames: anyOf(rules, func(r *rule) *regexp.Regexp { return r.names }),
		anyInProse: anyOf(rules, func(r *rule) *regexp.Regexp { return r.prose }),
		names:      map[string][]*rule{},
	}
}

// anyOf returns a pattern that matches what a pattern of any rule matches.
func anyOf(rules []rule, pattern func(*rule) *regexp.Regexp) *regexp.Regexp {
	var all []string
	for i := range rules {
		if p := pattern(&rules[i]); p != nil {
			all = append(all, p.String())
		}
	}
	return regexp.MustCompile(strings.Join(all, "|"))
}

// inName returns the rules that a name breaks.
func (v *vocabulary) inName(name string) []*rule {
	broken, known := v.names[name]
	if known {
		return broken
	}
	if words := splitName(name); v.anyInNames.MatchString(words) {
		for i := range v.rules {
			if r := &v.rules[i]; r.names != nil && r.names.MatchString(words) {
				broken = append(broken, r)
			}
		}
	}
	v.names[name] = broken
	return broken
}

// inProse returns the rules that a text may break.
func (v *vocabulary) inProse(text string) []*rule {
	if !v.anyInProse.MatchString(text) {
		return nil
	}
	var applied []*rule
	for i := range v.rules {
		if r := &v.rules[i]; r.prose != nil {
			applied = append(applied, r)
		}
	}
	return applied
}
