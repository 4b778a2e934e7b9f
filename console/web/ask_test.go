package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
)

// TestARefusalKeepsTheForm has what the API server may say to a request: all that was typed is in the form that is shown again.
func TestARefusalKeepsTheForm(t *testing.T) {
	t.Parallel()
	ask := changes()[10]
	for _, step := range []string{"create", "yaml"} {
		for _, one := range []struct {
			err    error
			status int
			says   string
		}{
			{fmt.Errorf("%w: ada cannot create keyrequests in shop", web.ErrForbidden), http.StatusForbidden, "You may not do this: ada cannot create keyrequests in shop."},
			{&web.InvalidError{Fields: map[string]string{"name": "This name is taken."}}, http.StatusUnprocessableEntity, "This name is taken."},
			{&web.InvalidError{Fields: map[string]string{"": "There are too many."}}, http.StatusUnprocessableEntity, "There are too many."},
			{&web.InvalidError{Fields: map[string]string{"addresses": "The Group requires them."}}, http.StatusUnprocessableEntity, "Addresses: The Group requires them."},
		} {
			b := install(t).browser().signIn()
			token := formToken(t, b.get(ask.path))
			b.fails = one.err
			w := b.post(ask.path, token, with(ask.form, "step", step))
			want(t, w, one.status, one.says, `name="namespace" value="shop"`, `name="name" value="web"`, `name="group" value="acme/acme"`, "\nmedia\nmaps</textarea>",
				"\nread</textarea>", "\nThe\nshop</textarea>", `name="lifetime" value="30d"`, `action="/ask"`)
			b.fails = nil
			if w := b.post(ask.path, formToken(t, w), ask.form); w.Code != http.StatusSeeOther {
				t.Errorf("%s, sent again: %d: %s", step, w.Code, w.Body)
			}
		}
	}
}

func TestYAMLOfARequestAsksForNothing(t *testing.T) {
	t.Parallel()
	ask := changes()[10]
	b := install(t).browser().signIn()
	want(t, b.send(ask.path, with(ask.form, "step", "yaml")), http.StatusOK, "kind: KeyRequest", `value="web"`)
	want(t, b.send(ask.path, url.Values{"step": {"yaml"}}), http.StatusOK, "kind: KeyRequest") // as far as it is filled in
	want(t, b.send(ask.path, with(ask.form, "step")), http.StatusOK)
	if len(b.changes) > 0 {
		t.Errorf("the Desk was asked for %q", b.changes)
	}
}

// TestWhoMayNotAskIsRefused has a link to the form that somebody may not use.
func TestWhoMayNotAskIsRefused(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	b.fails = fmt.Errorf("%w: create KeyRequests in the namespace shop", web.ErrForbidden)
	w := b.get(place.AskIn("shop", acme))
	want(t, w, http.StatusForbidden, "You may not do this: create KeyRequests in the namespace shop.")
	if strings.Contains(w.Body.String(), "<textarea") {
		t.Errorf("the form is shown: %s", w.Body)
	}
}

// TestARequestThatHasChangedIsNotDeleted shows it again, and does not say that anything would be replaced.
func TestARequestThatHasChangedIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	token := formToken(t, b.get(asked.Of("delete")))
	b.fails = fmt.Errorf("%w: x", web.ErrConflict)
	w := b.post(asked.Of("delete"), token, url.Values{"name": {"web"}})
	want(t, w, http.StatusConflict, "The request has changed since", `value="web"`)
	if strings.Contains(w.Body.String(), "replaces theirs") {
		t.Errorf("it says that something is replaced: %s", w.Body)
	}
}

func TestCrumbsOfRequests(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	groups, all, own := `<li><a href="/">Groups</a></li>`, `<li><a href="/requests">Requests for keys</a></li>`, `<li><a href="/requests/shop/web">web</a></li>`
	for path, crumbs := range map[string]string{
		"/": "", "/sign-out": "", place.Requests: groups, place.Ask: groups + all, asked.Of(): groups + all, asked.Of("delete"): groups + all + own,
	} {
		w := b.get(path)
		want(t, w, http.StatusOK, crumbs)
		if got := strings.Count(w.Body.String(), "<li>"); got != strings.Count(crumbs, "<li>") {
			t.Errorf("%s has %d crumbs: %s", path, got, w.Body)
		}
	}
}

// TestChoicesOfAnotherGroup: what was chosen of one Group is not asked of another, whose text was changed in the form.
func TestChoicesOfAnotherGroup(t *testing.T) {
	t.Parallel()
	ask := changes()[10]
	b := install(t).browser().signIn()
	for _, step := range []string{"create", "yaml"} {
		w := b.send(ask.path, with(with(ask.form, "step", step), "choicesOf", "acme/small"))
		want(t, w, http.StatusUnprocessableEntity, "What could be chosen was of acme/small. Choose for this Group.", `value="acme/acme"`)
	}
	if len(b.changes) > 0 {
		t.Errorf("the Desk was asked for %q", b.changes)
	}
	if w := b.send(ask.path, with(ask.form, "choicesOf", "acme/acme")); w.Code != http.StatusSeeOther {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}
