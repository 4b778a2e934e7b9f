package main

import (
	"regexp"
	"strings"
)

// exception says where a dropped word may occur. All parts that are set have to apply.
type exception struct {
	rule string         // the name of the rule; all of them if empty
	path string         // the beginning of the file's path; everywhere if empty
	text *regexp.Regexp // matches the line, or the name, that the word is part of; any if nil
	why  string
}

// line is a pattern for the text of an exception.
var line = regexp.MustCompile

var exceptions = []exception{
	{path: "docs/design/", why: "design records are history: they say what was decided in the words of their day"},
	{path: "hack/words/", why: "names the words"},
	{rule: "accounts? (in names)", text: line(`(?i)service_?accounts?`), why: "Kubernetes' ServiceAccount"},
	{rule: "accounts? (in names)", text: line(`\baccountId\b`), why: "a field of an API Gateway authorizer event"},
	{rule: "accounts? (in names)", text: line(`\bBillingAccount(Id|Name)\b`), why: "columns of FOCUS"},
	{rule: "li(fe|ves) (in names)", path: "config/samples/life/", why: "the stages in the life of a key, in a path that users type"},
	{rule: "questions?", text: line(`in question\b|question mark`), why: "plain English, of no request in particular"},
	{rule: "violations?", path: "console/page/browser_test.go", text: line(`r\.violations\b`), why: "a field of axe-core"},
	{rule: "away (in names)", text: line(`GoesAway`), why: "plain English for a client that closes its connection"},
}

// applies reports whether the exception allows a finding.
func (e exception) applies(f finding) bool {
	return (e.rule == "" || e.rule == f.rule.name) && strings.HasPrefix(f.file, e.path) && (e.text == nil || e.text.MatchString(f.context))
}

// isExcepted reports whether an exception allows a finding.
func isExcepted(f finding, exceptions []exception) bool {
	for _, e := range exceptions {
		if e.applies(f) {
			return true
		}
	}
	return false
}
