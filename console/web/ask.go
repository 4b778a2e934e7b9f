package web

import (
	"errors"
	"net/http"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
)

// routeAsk has the pages for who asks for a key. They belong to no Group: who asks may not be able to see it.
func (c *console) routeAsk() {
	c.page(place.Requests, titled("Requests for keys"), ownRequests)
	c.form(place.Ask, newRequestForm(c))
	c.page(askedPattern, ofAsked("Request "), func(a *asked) (document, error) { return a.desk.OwnRequest(a.r.Context(), a.own()) })
	c.form(askedPattern+"/delete", form{title: ofAsked("Delete the request "), show: showDeleteRequest, do: c.deleteRequest})
}

// own is the KeyRequest of the path.
func (a *asked) own() place.Request {
	return place.Request{Namespace: a.r.PathValue("askedns"), Name: a.r.PathValue("asked")}
}

func ofAsked(text string) func(*asked) string {
	return func(a *asked) string { return text + a.own().Name }
}

// crumbsApart are those of the pages for who asks, and of the platform; other pages without a Group have none.
func crumbsApart(r *http.Request) []page.Link {
	of := place.Request{Namespace: r.PathValue("askedns"), Name: r.PathValue("asked")}
	alone := r.URL.Path == place.Requests || r.URL.Path == place.Platform
	if of.Name == "" && r.URL.Path != place.Ask && !alone {
		return nil
	}
	crumbs := []page.Link{{Text: "Groups", Href: place.Groups}}
	if !alone {
		crumbs = append(crumbs, page.Link{Text: "Requests for keys", Href: place.Requests})
	}
	if of.Name != "" && r.URL.Path != of.Of() {
		crumbs = append(crumbs, page.Link{Text: of.Name, Href: of.Of()})
	}
	return crumbs
}

// ownRequests is one page of the requests that the person may see.
func ownRequests(a *asked) (document, error) {
	f := read(a.r.URL.Query())
	query := ListQuery{Search: f.text("search", mostGroupSearch), After: f.text("after", mostCursor)}
	if err := f.check(); err != nil {
		return nil, err
	}
	return a.desk.OwnRequests(a.r.Context(), query)
}

func newRequestForm(c *console) form {
	return form{title: titled("Ask for a key"), show: showNewRequest, do: c.createRequest}
}

// enteredRequest is what was sent. A link fills in the namespace and the Group.
func enteredRequest(a *asked) (EnteredRequest, *fields) {
	f := read(a.r.PostForm)
	if !a.sent() {
		f = read(a.r.URL.Query())
		return EnteredRequest{Namespace: f.text("namespace", mostNamespace), Group: f.text("group", mostGroup)}, f
	}
	return EnteredRequest{
		Namespace: f.text("namespace", mostNamespace), Name: f.text("name", mostName), Group: f.text("group", mostGroup),
		Projects: f.names("projects", mostProjects), Permissions: f.names("permissions", mostPermissions),
		UseCase: f.prose("useCase", mostUseCase), Lifetime: f.text("lifetime", mostLifetime),
	}, f
}

func showNewRequest(a *asked) (document, error) {
	entered, f := enteredRequest(a)
	if a.errors == nil {
		a.errors = f.errors
	}
	p, err := a.desk.NewRequest(a.r.Context(), entered, a.sent())
	if err != nil {
		return nil, err
	}
	return a.withErrors(p), nil
}

// withErrors shows what was not accepted at the fields of the form.
func (a *asked) withErrors(p page.Ask) page.Ask {
	shown := map[string]*string{
		"namespace": &p.Namespace.Error, "name": &p.Name.Error, "group": &p.Group.Error, "projects": &p.Projects.Error,
		"permissions": &p.Permissions.Error, "useCase": &p.UseCase.Error, "lifetime": &p.Lifetime.Error,
	}
	var names []string
	for name, into := range shown {
		refuse(into, a.errors, name)
		names = append(names, name)
	}
	p.Problem = a.problemBeside(p.Problem, names...)
	return p
}

// createRequest creates the request, or shows the YAML. The form is shown again if the person may not ask in the namespace, which may be mistyped.
func (c *console) createRequest(a *asked) error {
	entered, f := enteredRequest(a)
	create := a.r.PostForm.Get("step") == stepCreate
	for _, field := range []struct {
		name, value string
		good        bool
		hint        string
	}{
		{"namespace", entered.Namespace, len(validation.IsDNS1123Label(entered.Namespace)) == 0, "Use lower-case letters, digits and hyphens."},
		{"name", entered.Name, len(validation.IsDNS1123Subdomain(entered.Name)) == 0, "Use lower-case letters, digits and hyphens."},
		{"group", entered.Group, entered.Group != "", "Write its namespace, a slash and its name."},
	} {
		switch {
		case create && field.value == "":
			f.refuse(field.name, "Fill this in.")
		case field.value != "" && !field.good:
			f.refuse(field.name, "%s", field.hint)
		}
	}
	if of := f.text("choicesOf", mostGroup); of != "" && of != entered.Group {
		f.refuse("projects", "What could be chosen was of %s. Choose for this Group.", of)
	}
	if create && len(entered.Projects) == 0 {
		f.refuse("projects", "Name at least one.")
	}
	if create && entered.UseCase == "" {
		f.refuse("useCase", "Say what the key is for, so that the owner of the Group can decide.")
	}
	err := f.check()
	switch {
	case err != nil:
		return err
	case create:
		var created place.Request
		if created, err = a.desk.CreateRequest(a.r.Context(), entered); err == nil {
			a.leave(created.Of())
		}
	default:
		var p page.Ask
		if p, err = a.desk.AskYAML(a.r.Context(), entered); err == nil {
			c.show(a, http.StatusOK, "Ask for a key", p)
		}
	}
	if errors.Is(err, ErrForbidden) {
		return c.again(a, newRequestForm(c), http.StatusForbidden, sentence(cut(err.Error())))
	}
	return err
}

func showDeleteRequest(a *asked) (document, error) {
	p, err := a.desk.Deletable(a.r.Context(), a.own())
	p.Error = a.notAccepted("name", p.Error)
	if a.sent() {
		p.Typed = a.r.PostForm.Get("name")
	}
	return p, err
}

// deleteRequest shows the request as it is now, if it has changed since it was looked at.
func (c *console) deleteRequest(a *asked) error {
	f := read(a.r.PostForm)
	typed := f.text("name", mostName)
	if err := f.check(); err != nil {
		return err
	}
	of := a.own()
	err := a.desk.DeleteRequest(a.r.Context(), of, typed)
	if errors.Is(err, ErrConflict) {
		const problem = "The request has changed since, and nothing was done. This is what it is now."
		return c.again(a, form{title: ofAsked("Delete the request "), show: showDeleteRequest}, http.StatusConflict, problem)
	}
	if err == nil {
		a.leave(place.RequestsIn(of.Namespace))
	}
	return err
}
