package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/console/page"
)

func (c *console) routeGroups() {
	c.page("/{$}", titled("Groups"), func(a *asked) (document, error) {
		f := read(a.r.URL.Query())
		query := ListQuery{Search: f.text("search", mostGroupSearch), After: f.text("after", mostCursor)}
		if err := f.check(); err != nil {
			return nil, err
		}
		return a.desk.Groups(a.r.Context(), query)
	})
	c.page(groupPattern, ofGroup("Keys of "), keys)
	c.page(groupPattern+"/usage", ofGroup("Usage of "), usage)
	c.page(groupPattern+"/projects", ofGroup("Projects of "), func(a *asked) (document, error) {
		return a.desk.Projects(a.r.Context(), a.group)
	})
	c.page(groupPattern+"/allowlists", ofGroup("Allowlists of "), func(a *asked) (document, error) {
		return a.desk.Allowlists(a.r.Context(), a.group)
	})
	c.page(groupPattern+"/log", ofGroup("Log of "), showLog)
	c.form(allowlistPattern, form{
		title: func(a *asked) string { return "Allowlist " + a.r.PathValue("allowlist") }, show: showAllowlist, do: c.changeAllowlist,
	})
}

func titled(text string) func(*asked) string { return func(*asked) string { return text } }

func ofGroup(text string) func(*asked) string {
	return func(a *asked) string { return text + a.group.Name }
}

// keys is one page of the keys of a Group.
func keys(a *asked) (document, error) {
	f := read(a.r.URL.Query())
	query := ListQuery{Search: f.text("search", mostName), After: f.text("after", mostCursor), Order: f.text("order", mostOrder)}
	if f.errors["after"] != "" {
		return nil, &InvalidError{Fields: map[string]string{"": "This page of the list does not exist."}}
	}
	p, err := a.desk.Keys(a.r.Context(), a.group, query)
	p.Search, p.Action = page.Input{Value: strings.ToValidUTF8(query.Search, "\uFFFD"), Error: f.errors["search"]}, a.group.Of()
	if p.Search.Error != "" { // the rest of the page stays as it was chosen
		a.errors, p.Keys, p.Next = f.errors, nil, ""
	}
	return p, err
}

// usage is of a month such as 2026-03, or of the present one.
func usage(a *asked) (document, error) {
	f := read(a.r.URL.Query())
	month := f.text("month", mostMonth)
	if _, err := time.Parse("2006-01", month); f.check() != nil || month != "" && err != nil {
		return nil, &InvalidError{Fields: map[string]string{"": "Write a month as 2026-03."}}
	}
	return a.desk.Usage(a.r.Context(), a.group, month)
}

// showLog shows entries only if the filter can be understood.
func showLog(a *asked) (document, error) {
	f := read(a.r.URL.Query())
	query := LogQuery{
		Types: f.chosen("type", mostTypes), Object: f.text("object", mostName), Actor: f.text("actor", mostActor),
		From: f.text("from", mostDay), Through: f.text("through", mostDay), Before: f.text("before", mostCursor),
	}
	asEntered := query
	for name, day := range map[string]*string{"from": &query.From, "through": &query.Through} {
		if _, err := time.Parse(time.DateOnly, *day); *day != "" && err != nil {
			f.refuse(name, "Write a day as 2026-03-01.")
		}
	}
	if f.errors["before"] != "" || f.errors["type"] != "" {
		return nil, f.check()
	}
	for name, value := range map[string]*string{"object": &query.Object, "actor": &query.Actor, "from": &query.From, "through": &query.Through} {
		if f.errors[name] != "" {
			*value = ""
		}
	}
	p, err := a.desk.Log(a.r.Context(), a.group, query)
	if invalid, ok := errors.AsType[*InvalidError](err); ok { // of a field that only the Desk understands
		for name, text := range invalid.Fields {
			if !slices.Contains([]string{"object", "actor", "from", "through"}, name) {
				return nil, err
			}
			f.refuse(name, "%s", text)
		}
		p, err = a.desk.Log(a.r.Context(), a.group, LogQuery{Types: query.Types})
	}
	if err != nil || len(f.errors) == 0 {
		return p, err
	}
	a.errors = f.errors
	p.Object, p.Actor = page.Input{Value: asEntered.Object}, page.Input{Value: asEntered.Actor}
	p.From, p.Through = page.Input{Value: asEntered.From}, page.Input{Value: asEntered.Through}
	p.Entries, p.Next, p.Clear = nil, "", a.group.Of("log")
	for name, in := range map[string]*page.Input{"object": &p.Object, "actor": &p.Actor, "from": &p.From, "through": &p.Through} {
		refuse(&in.Error, f.errors, name)
	}
	return p, nil
}

// The steps of the buttons of forms.
const (
	stepCreate = "create"
	stepSave   = "save"
	stepYAML   = "yaml"
)

func enteredAllowlist(a *asked) (EnteredAllowlist, *fields) {
	f := read(a.r.PostForm)
	return EnteredAllowlist{
		Domains: f.lines("domains", mostDomains, mostDomainText), Projects: f.chosen("projects", mostProjects),
		Localhost: f.text("localhost", mostChoice) == "true", Missing: f.text("missing", mostChoice), Site: f.text("site", mostSite),
		Version: f.text("version", mostVersion),
	}, f
}

func showAllowlist(a *asked) (document, error) {
	var entered *EnteredAllowlist
	if a.sent() {
		sent, f := enteredAllowlist(a)
		if a.conflict { // who sends it once more does so after reading that somebody else has saved it
			sent.Version = ""
		}
		entered = &sent
		if a.errors == nil {
			a.errors = f.errors
		}
	}
	p, err := a.desk.Allowlist(a.r.Context(), a.group, a.r.PathValue("allowns"), a.r.PathValue("allowlist"), entered)
	if err != nil {
		return nil, err
	}
	p.Problem = a.problemBeside(p.Problem, "domains", "projects", "missing", "site")
	refuse(&p.Domains.Error, a.errors, "domains")
	refuse(&p.Projects.Error, a.errors, "projects")
	refuse(&p.Missing.Error, a.errors, "missing")
	refuse(&p.Site.Error, a.errors, "site")
	return p, nil
}

// changeAllowlist saves the editor, or only shows what was asked for.
func (c *console) changeAllowlist(a *asked) error {
	entered, f := enteredAllowlist(a)
	if err := f.check(); err != nil {
		return err
	}
	namespace, name := a.r.PathValue("allowns"), a.r.PathValue("allowlist")
	if step := a.r.PostForm.Get("step"); step != stepSave {
		var doc document
		var err error
		if step == stepYAML {
			doc, err = a.desk.AllowlistYAML(a.r.Context(), a.group, namespace, name, entered)
		} else {
			doc, err = showAllowlist(a)
		}
		if err == nil {
			c.show(a, http.StatusOK, "Allowlist "+name, doc)
		}
		return err
	}
	entered.Site = ""
	if err := a.desk.SaveAllowlist(a.r.Context(), a.group, namespace, name, entered); err != nil {
		return err
	}
	a.leave(a.group.Allowlist(namespace, name))
	return nil
}
