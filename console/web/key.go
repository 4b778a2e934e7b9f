package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/console/page"
)

func (c *console) routeKeys() {
	c.form(groupPattern+"/new-key", form{title: titled("Create key"), show: showNewKey, do: c.createKey})
	c.page(keyPattern, ofKey(""), func(a *asked) (document, error) { return a.desk.Key(a.r.Context(), a.key) })
	c.live(keyPattern, func(ctx context.Context, a *asked) (<-chan string, error) { return a.desk.Follow(ctx, a.key) })
	c.form(keyPattern+"/rotate", form{title: ofKey("Rotate "), show: showRotate, do: rotate})
	c.form(keyPattern+"/suspend", form{title: ofKey("Suspend "), show: showSuspend, do: suspend})
	c.form(keyPattern+"/resume", form{title: ofKey("Resume "), show: showResume, do: resume})
	c.form(keyPattern+"/revoke", form{title: ofKey("Revoke "), show: showRevoke, do: revoke})
	c.form(keyPattern+"/claim", form{title: ofKey("Key of "), show: showClaim, do: c.claim})
}

func ofKey(text string) func(*asked) string {
	return func(a *asked) string { return text + a.key.Name }
}

func enteredKey(a *asked) (EnteredKey, *fields) {
	f := read(a.r.PostForm)
	return EnteredKey{
		Name: f.text("name", mostName), Description: f.prose("description", mostDescription), Projects: f.chosen("projects", mostProjects),
		Permissions: f.chosen("permissions", mostPermissions), Clients: f.chosen("clients", 1),
		Addresses: f.lines("addresses", mostAddresses, mostAddressText),
		Lifetime:  f.text("lifetime", mostChoice), Rotation: f.text("rotation", mostChoice), Reveal: f.text("reveal", mostChoice),
	}, f
}

// showNewKey shows the YAML as well if that was asked for.
func showNewKey(a *asked) (document, error) {
	var entered *EnteredKey
	if a.sent() {
		sent, f := enteredKey(a)
		entered = &sent
		if a.errors == nil {
			a.errors = f.errors
		}
	}
	p, err := a.desk.NewKey(a.r.Context(), a.group, entered, a.sent() && a.r.PostForm.Get("step") == stepYAML)
	if err != nil {
		return nil, err
	}
	p.Problem = a.problemBeside(p.Problem, "name", "description", "projects", "permissions", "clients", "addresses", "lifetime", "rotation", "reveal")
	refuse(&p.Name.Error, a.errors, "name")
	refuse(&p.Description.Error, a.errors, "description")
	refuse(&p.Projects.Error, a.errors, "projects")
	refuse(&p.Permissions.Error, a.errors, "permissions")
	refuse(&p.Clients.Error, a.errors, "clients")
	refuse(&p.Addresses.Error, a.errors, "addresses")
	refuse(&p.Lifetimes.Error, a.errors, "lifetime")
	refuse(&p.Rotations.Error, a.errors, "rotation")
	refuse(&p.Reveals.Error, a.errors, "reveal")
	return p, nil
}

func (c *console) createKey(a *asked) error {
	entered, f := enteredKey(a)
	create := a.r.PostForm.Get("step") == stepCreate
	switch {
	case create && entered.Name == "":
		f.refuse("name", "Write a name.")
	case entered.Name != "" && len(validation.IsDNS1123Subdomain(entered.Name)) > 0:
		f.refuse("name", "Use lower-case letters, digits and hyphens.")
	}
	if create && len(entered.Projects) == 0 {
		f.refuse("projects", "Choose at least one.")
	}
	if err := f.check(); err != nil {
		return err
	}
	if !create {
		doc, err := showNewKey(a)
		if err == nil {
			c.show(a, http.StatusOK, "Create key", doc)
		}
		return err
	}
	created, err := a.desk.CreateKey(a.r.Context(), a.group, entered)
	if err == nil {
		a.leave(created.Of())
	}
	return err
}

// problemBeside is what a page with several fields says of the whole: the problem, and errors of fields that it does not have.
func (a *asked) problemBeside(problem string, shown ...string) string {
	if a.problem != "" {
		problem = a.problem
	}
	others := map[string]string{}
	for name, text := range a.errors {
		if name != "" && !slices.Contains(shown, name) {
			others[name] = text
		}
	}
	return strings.TrimSpace(problem + " " + (&InvalidError{Fields: others}).summary())
}

// notAccepted is what a page with one field or none says: why it was not accepted, or what the page says otherwise.
func (a *asked) notAccepted(name, otherwise string) string {
	for _, text := range []string{a.problem, a.errors[name], a.errors[""]} {
		if text != "" {
			return text
		}
	}
	for _, text := range a.errors {
		return text
	}
	return otherwise
}

func showRotate(a *asked) (document, error) {
	p, err := a.desk.Rotate(a.r.Context(), a.key)
	p.Error = a.notAccepted("overlap", p.Error)
	if a.sent() {
		for i := range p.Overlaps {
			p.Overlaps[i].Chosen = p.Overlaps[i].Value == a.r.PostForm.Get("overlap")
		}
	}
	return p, err
}

// rotate takes no other overlap than those that are offered.
func rotate(a *asked) error {
	overlap := a.r.PostForm.Get("overlap")
	offered, err := a.desk.Rotate(a.r.Context(), a.key)
	if err != nil {
		return err
	}
	for _, one := range offered.Overlaps {
		if one.Value == overlap {
			return a.done(a.desk.DoRotate(a.r.Context(), a.key, overlap))
		}
	}
	return &InvalidError{Fields: map[string]string{"overlap": "Choose one of the overlaps."}}
}

// done leaves to the page of the key, unless something failed.
func (a *asked) done(err error) error {
	if err == nil {
		a.leave(a.key.Of())
	}
	return err
}

func showSuspend(a *asked) (document, error) {
	p, err := a.desk.Suspend(a.r.Context(), a.key)
	p.Error = a.notAccepted("", p.Error)
	return p, err
}

func suspend(a *asked) error { return a.done(a.desk.DoSuspend(a.r.Context(), a.key)) }

func showResume(a *asked) (document, error) {
	p, err := a.desk.Resume(a.r.Context(), a.key)
	p.Error = a.notAccepted("", p.Error)
	return p, err
}

func resume(a *asked) error { return a.done(a.desk.DoResume(a.r.Context(), a.key)) }

func showRevoke(a *asked) (document, error) {
	p, err := a.desk.Revoke(a.r.Context(), a.key)
	p.Error = a.notAccepted("name", p.Error)
	if a.sent() {
		p.Typed = a.r.PostForm.Get("name")
	}
	return p, err
}

// revoke wants the name, exactly.
func revoke(a *asked) error {
	f := read(a.r.PostForm)
	if name := f.text("name", mostName); f.check() == nil && name != a.key.Name {
		f.refuse("name", "This is not its name.")
	}
	if err := f.check(); err != nil {
		return err
	}
	return a.done(a.desk.DoRevoke(a.r.Context(), a.key))
}

// showClaim asks first: what follows can be done once.
func showClaim(a *asked) (document, error) {
	p, err := a.desk.Claimable(a.r.Context(), a.key)
	p.Error = a.notAccepted("", p.Error)
	return p, err
}

// claim answers the form itself: the text of the key is in no address and no history, and a form that is sent again finds that it is gone.
func (c *console) claim(a *asked) error {
	plaintext, err := a.desk.Claim(a.r.Context(), a.key)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if plaintext.Reveal() == "" {
		status = http.StatusGone
	}
	c.show(a, status, "Key of "+a.key.Name, page.Claimed{Plaintext: plaintext, Done: a.key.Of()})
	return nil
}
