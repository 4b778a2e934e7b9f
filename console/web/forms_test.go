package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
)

// numbered has so many values.
func numbered(n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("v%d", i)
	}
	return values
}

func with(form url.Values, name string, values ...string) url.Values {
	changed := url.Values{name: values}
	for other, of := range form {
		if other != name {
			changed[other] = of
		}
	}
	return changed
}

// TestBounds has each field one beyond its bound: the form is shown again with a message at the field, and the Desk changes nothing.
func TestBounds(t *testing.T) {
	t.Parallel()
	all := changes()
	create, allowlist, rotate, revoke, refusal := all[0], all[1], all[2], all[5], all[8]
	ask, deletion := all[10], all[11]
	for _, one := range []struct {
		of     change
		name   string
		values []string
		says   string
	}{
		{create, "name", []string{""}, "Write a name."},
		{create, "name", []string{"Web shop"}, "Use lower-case letters, digits and hyphens."},
		{create, "name", []string{strings.Repeat("a", 254)}, "At most 253 characters."},
		{create, "description", []string{strings.Repeat("ä", 501)}, "At most 500 characters."},
		{create, "description", []string{"a\x00b"}, "characters that cannot be shown"},
		{create, "description", []string{"a\xffb"}, "This is not text."},
		{create, "projects", nil, "Choose at least one."},
		{create, "projects", numbered(65), "Choose at most 64."},
		{create, "projects", []string{strings.Repeat("a", 64)}, "At most 63 characters."},
		{create, "permissions", numbered(34), "Choose at most 33."},
		{create, "clients", numbered(2), "Choose at most 1."},
		{create, "addresses", []string{strings.Repeat("10.0.0.0/8\n", 65)}, "At most 64, one a line."},
		{create, "addresses", []string{strings.Repeat("1", 4097)}, "At most 4096 characters."},
		{create, "lifetime", []string{strings.Repeat("1", 64)}, "At most 63 characters."},
		{create, "rotation", []string{strings.Repeat("1", 64)}, "At most 63 characters."},
		{create, "reveal", []string{strings.Repeat("1", 64)}, "At most 63 characters."},
		{allowlist, "domains", []string{strings.Repeat("a.example\n", 257)}, "At most 256, one a line."},
		{allowlist, "projects", numbered(65), "Choose at most 64."},
		{allowlist, "missing", []string{strings.Repeat("1", 64)}, "At most 63 characters."},
		{allowlist, "version", []string{strings.Repeat("1", 129)}, "At most 128 characters."},
		{allowlist, "site", []string{strings.Repeat("1", 273)}, "At most 272 characters."},
		{rotate, "overlap", []string{"9h"}, "Choose one of the overlaps."},
		{rotate, "overlap", nil, "Choose one of the overlaps."},
		{revoke, "name", []string{"Checkout"}, "This is not its name."},
		{revoke, "name", []string{""}, "This is not its name."},
		{revoke, "name", []string{strings.Repeat("a", 254)}, "At most 253 characters."},
		{refusal, "reason", nil, "Write why."},
		{refusal, "reason", []string{" \n"}, "Write why."},
		{refusal, "reason", []string{strings.Repeat("ä", 501)}, "At most 500 characters."},
		{refusal, "reason", []string{"a\x00b"}, "characters that cannot be shown"},
		{refusal, "step", nil, "Choose what to decide."},
		{refusal, "step", []string{"Approved"}, "Choose what to decide."},
		{ask, "namespace", []string{""}, "Fill this in."},
		{ask, "namespace", []string{"Shop"}, "Use lower-case letters, digits and hyphens."},
		{ask, "namespace", []string{strings.Repeat("a", 64)}, "At most 63 characters."},
		{ask, "name", []string{""}, "Fill this in."},
		{ask, "name", []string{"web/../x"}, "Use lower-case letters, digits and hyphens."},
		{ask, "name", []string{strings.Repeat("a", 254)}, "At most 253 characters."},
		{ask, "group", []string{""}, "Fill this in."},
		{ask, "group", []string{strings.Repeat("a", 318)}, "At most 317 characters."},
		{ask, "projects", nil, "Name at least one."},
		{ask, "projects", []string{" \n \n"}, "Name at least one."},
		{ask, "projects", numbered(65), "At most 64, one a line."},
		{ask, "projects", []string{strings.Join(numbered(65), "\n")}, "At most 64, one a line."},
		{ask, "projects", []string{strings.Repeat("a", 4097)}, "At most 4096 characters."},
		{ask, "projects", []string{"a\x00b"}, "characters that cannot be shown"},
		{ask, "permissions", []string{strings.Join(numbered(34), "\n")}, "At most 33, one a line."},
		{ask, "permissions", []string{"a\xffb"}, "This is not text."},
		{ask, "useCase", []string{" "}, "Say what the key is for"},
		{ask, "useCase", []string{strings.Repeat("ä", 501)}, "At most 500 characters."},
		{ask, "lifetime", []string{strings.Repeat("1", 33)}, "At most 32 characters."},
		{deletion, "name", []string{strings.Repeat("a", 254)}, "At most 253 characters."},
	} {
		t.Run(fmt.Sprintf("%s/%s/%.10q", one.of.path, one.name, one.values), func(t *testing.T) {
			t.Parallel()
			b := install(t).browser().signIn()
			w := b.send(one.of.path, with(one.of.form, one.name, one.values...))
			want(t, w, http.StatusUnprocessableEntity, one.says)
			if len(b.changes) > 0 {
				t.Errorf("the Desk was asked for %q", b.changes)
			}
			if one.of.path == create.path && one.name != "name" {
				want(t, w, http.StatusUnprocessableEntity, `value="web"`)
			}
			if w := b.post(one.of.path, formToken(t, w), one.of.form); w.Code != http.StatusSeeOther {
				t.Errorf("sent again, corrected: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestYAMLAndChecksChangeNothing(t *testing.T) {
	t.Parallel()
	all := changes()
	b := install(t).browser().signIn()
	want(t, b.send(all[0].path, with(all[0].form, "step", "yaml")), http.StatusOK, "kind: ApiKey", `value="web"`)
	want(t, b.send(all[0].path, url.Values{"step": {"yaml"}}), http.StatusOK, "kind: ApiKey") // as far as it is filled in
	want(t, b.send(all[0].path, with(all[0].form, "step")), http.StatusOK)
	w := b.send(all[1].path, with(all[1].form, "step", "check"))
	want(t, w, http.StatusOK, `value="x.example"`, "*.acme.example")
	if strings.Contains(w.Body.String(), "kind: DomainAllowlist") {
		t.Error("the YAML was not asked for")
	}
	want(t, b.send(all[1].path, with(all[1].form, "step", "yaml")), http.StatusOK, "kind: DomainAllowlist")
	b.fails = &web.InvalidError{Fields: map[string]string{"domains": "There is no such site."}}
	w = b.send(all[1].path, with(all[1].form, "step", "yaml"))
	want(t, w, http.StatusUnprocessableEntity, "There is no such site.", "*.acme.example")
	if strings.Contains(w.Body.String(), "kind: DomainAllowlist") {
		t.Error("the YAML of what is not accepted is shown")
	}
	if len(b.changes) > 0 {
		t.Errorf("the Desk was asked for %q", b.changes)
	}
}

// TestErrorsOfTheDesk has what the API server may say to a change, and to a page.
func TestErrorsOfTheDesk(t *testing.T) {
	t.Parallel()
	create := changes()[0]
	kind := schema.GroupResource{Group: "keyward.dev", Resource: "apikeys"}
	for _, one := range []struct {
		name         string
		err          error
		status, page int
		says         string
		kept         bool
	}{
		{"not found", fmt.Errorf("apikeys x: %w", web.ErrNotFound), 404, 404, "It does not exist, or you may not see it.", false},
		{"forbidden", fmt.Errorf("%w: ada cannot create apikeys", web.ErrForbidden), 403, 403, "You may not do this: ada cannot create apikeys.", false},
		{"conflict", fmt.Errorf("%w: x", web.ErrConflict), 409, 409, "Somebody else has changed it since", true},
		{"invalid", &web.InvalidError{Fields: map[string]string{"addresses": "1.2.3 is no prefix.", "": "It was refused."}}, 422, 422, "1.2.3 is no prefix.", true},
		{"invalid elsewhere", fmt.Errorf("x: %w", &web.InvalidError{Fields: map[string]string{"secret": "The name is taken."}}), 422, 422, "The name is taken.", true},
		{"too slow", apierrors.NewTimeoutError("etcd", 1), 503, 503, "The cluster does not answer at the moment.", true},
		{"too much", apierrors.NewTooManyRequests("later", 1), 503, 503, "The cluster does not answer at the moment.", true},
		{"no connection", &url.Error{Op: "Get", URL: "https://kubernetes", Err: errors.New("refused")}, 503, 503, "The cluster does not answer at the moment.", true},
		{"unknown", errors.New("a-secret-of-somebody"), 500, 500, "Something unexpected happened.", true},
		{"unauthorized", fmt.Errorf("x: %w", apierrors.NewUnauthorized("expired")), 401, 303, "Your session is over", true},
		{"other", apierrors.NewResourceExpired("x"), 500, 500, "Something unexpected happened.", true},
		{"in use", apierrors.NewAlreadyExists(kind, "web"), 500, 500, "Something unexpected happened.", true},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			b := install(t).browser().signIn()
			token := formToken(t, b.get(create.path))
			b.fails = one.err
			w := b.post(create.path, token, create.form)
			want(t, w, one.status, one.says)
			if kept := strings.Contains(w.Body.String(), `value="web"`); kept != one.kept {
				t.Errorf("kept: %v: %s", kept, w.Body)
			}
			if (one.status == http.StatusServiceUnavailable) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
			}
			page := install(t).browser().signIn()
			page.get(acme.Of())
			page.fails = one.err
			if w := page.do(http.MethodGet, acme.Of(), ""); w.Code != one.page {
				t.Errorf("the page: %d, want %d: %s", w.Code, one.page, w.Body)
			}
			if one.status == http.StatusUnauthorized {
				if _, still := page.cookies["__Host-keyward-token"]; still {
					t.Error("the session goes on")
				}
			}
			if strings.Contains(b.log.String()+w.Body.String(), "a-secret-of-somebody") {
				t.Errorf("an error that nobody knows is shown or logged: %s %s", b.log, w.Body)
			}
		})
	}
}

// TestWhatSomebodyElseSavedIsNotOverwritten shows an editor again: with its own version after a stale token, and with a new one after a conflict.
func TestWhatSomebodyElseSavedIsNotOverwritten(t *testing.T) {
	t.Parallel()
	save := changes()[1]
	b := install(t).browser().signIn()
	token := formToken(t, b.get(save.path))
	want(t, b.post(save.path, "x", save.form), http.StatusForbidden, `name="version" value="v7"`, "*.acme.example")
	b.fails = fmt.Errorf("%w: x", web.ErrConflict)
	w := b.post(save.path, token, save.form)
	want(t, w, http.StatusConflict, "Somebody else has changed it since", "*.acme.example")
	if strings.Contains(w.Body.String(), `value="v7"`) {
		t.Error("the version that was seen is kept: nothing can ever be saved")
	}
}

// TestPagesSayWhyNot has what a page of a change says before anything is sent, which the answer to a form replaces.
func TestPagesSayWhyNot(t *testing.T) {
	t.Parallel()
	for _, one := range changes()[2:] {
		b := install(t).browser().signIn()
		b.cannot = "The key is revoked for good."
		page := b.get(one.path)
		want(t, page, http.StatusOK, "The key is revoked for good.")
		if strings.Contains(one.path, checkout.Of()) && strings.Contains(page.Body.String(), "<button class=") {
			t.Errorf("%s offers it: %s", one.path, page.Body)
		}
		b.fails = &web.InvalidError{Fields: map[string]string{"": "It was refused."}}
		w := b.send(one.path, one.form)
		want(t, w, http.StatusUnprocessableEntity, "It was refused.")
		if strings.Contains(w.Body.String(), "revoked for good") {
			t.Errorf("%s says both", one.path)
		}
	}
}

func TestClaimedOnce(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	asks := b.get(checkout.Of("claim"))
	want(t, asks, http.StatusOK, "shown once")
	if len(b.changes) > 0 || strings.Contains(asks.Body.String(), plaintext) {
		t.Fatal("to look takes the key")
	}
	token := formToken(t, asks)
	want(t, b.post(checkout.Of("claim"), token, nil), http.StatusOK, plaintext, "I have stored it")
	for range 2 { // as the browser does when the page is loaded again
		again := b.post(checkout.Of("claim"), token, nil)
		want(t, again, http.StatusGone, "is gone")
		if strings.Contains(again.Body.String(), plaintext) {
			t.Error("it is shown again")
		}
	}
	if strings.Contains(b.log.String(), plaintext) || strings.Contains(fmt.Sprint(b.cookies), plaintext) {
		t.Error("the log or a cookie has the plaintext")
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	for _, one := range []struct {
		path   string
		status int
		says   string
	}{
		{acme.Of() + "?search=shop&after=x", 200, "checkout of acmeshopx"},
		{acme.Of() + "?search=" + strings.Repeat("a", 254), 422, "At most 253 characters."},
		{acme.Of() + "?search=%00&order=newest", 422, "It has characters that cannot be shown."},
		{acme.Of() + "?after=" + strings.Repeat("a", 4097), 422, "This page of the list does not exist."},
		{acme.Of("usage") + "?month=2026-03", 200, "Month 2026-03"},
		{acme.Of("usage") + "?month=2026-3", 422, "Write a month as 2026-03."},
		{acme.Of("usage") + "?month=yesterday", 422, "Write a month as 2026-03."},
		{acme.Of("allowlists"), 200, "sites"},
		{acme.Of("log") + "?type=a&type=b&object=o&actor=me&from=2026-03-01&through=2026-03-02&before=7", 200,
			"{Types:[a b] Object:o Actor:me From:2026-03-01 Through:2026-03-02 Before:7}"},
		{acme.Of("log") + "?from=yesterday&object=o", 422, `value="yesterday" aria-describedby="from-error"`},
		{acme.Of("log") + "?actor=" + strings.Repeat("a", 1025), 422, "At most 1024 characters."},
		{acme.Of("log") + "?before=" + strings.Repeat("a", 4097), 422, "At most 4096 characters."},
		{acme.Of("requests") + "?after=x", 200, "webx"},
		{acme.Of("requests") + "?after=" + strings.Repeat("a", 4097), 422, "This page of the list does not exist."},
		{acme.Request("5F0C"), 404, "It does not exist, or you may not see it."},
		{"/?search=" + strings.Repeat("a", 318), 422, "At most 317 characters."},
		{"/groups/team-a/Acme", 404, "It does not exist, or you may not see it."},
		{"/groups/team-a/acme/keys/TEAM/x", 404, "It does not exist, or you may not see it."},
		{"/groups/team-a/foreign", 404, "It does not exist, or you may not see it."},
		{place.Requests + "?search=shop%2Fweb&after=x", 200, "shop/webx"},
		{place.Requests + "?search=" + strings.Repeat("a", 318), 422, "At most 317 characters."},
		{place.Requests + "?after=" + strings.Repeat("a", 4097), 422, "At most 4096 characters."},
		{"/requests/shop/Web", 404, "It does not exist, or you may not see it."},
		{"/requests/Shop/web", 404, "It does not exist, or you may not see it."},
		{"/requests/shop/..%2Fweb/delete", 404, "It does not exist, or you may not see it."},
		{place.Ask + "?namespace=shop&group=acme/acme&name=x", 200, `name="group" value="acme/acme"`},
		{place.Ask + "?namespace=" + strings.Repeat("a", 64), 422, "At most 63 characters."},
		{"/nothing", 404, "404 page not found"},
	} {
		want(t, b.get(one.path), one.status, "<!doctype html>", one.says)
	}
}

// TestASearchThatCannotBeOne keeps what was searched for, the order and the buttons, and shows no keys.
func TestASearchThatCannotBeOne(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	long := strings.Repeat("a", 254)
	for search, shown := range map[string]string{"shop%00": "shop\uFFFD", long: long, "a%ffb": "a\uFFFDb"} {
		w := b.get(acme.Of() + "?order=newest&search=" + search)
		want(t, w, http.StatusUnprocessableEntity, `<option value="newest" selected>`, "/new-key", `name="search" value="`+shown+`"`, "Nothing matches")
		if text := w.Body.String(); strings.Contains(text, "checkout of acme") || strings.Contains(text, "Next page") {
			t.Errorf("%.20s finds keys: %s", search, text)
		}
	}
	want(t, b.get(acme.Of()+"?order="+strings.Repeat("x", 300)), http.StatusOK, "checkout of acme")
}

// TestARightThatIsMissing says whom to ask, and has what was entered to be copied: it does not help to send it again.
func TestARightThatIsMissing(t *testing.T) {
	t.Parallel()
	const whoGives = "Whoever manages access to that namespace can give you the right."
	b := install(t).browser().signIn()
	create, suspend := changes()[0], changes()[3]
	form := with(create.form, "description", "The <b>shop")
	token := formToken(t, b.get(create.path))
	b.fails = fmt.Errorf("%w: ada cannot create apikeys", web.ErrForbidden)
	w := b.post(create.path, token, form)
	want(t, w, http.StatusForbidden, "ada cannot create apikeys", whoGives, "What you entered", "The &lt;b&gt;shop", "<bdi>web</bdi>")
	if text := w.Body.String(); strings.Contains(text, "<button class=") || strings.Contains(text, `name="step"`) {
		t.Errorf("it can be sent again: %s", text)
	}
	w = b.post(suspend.path, token, suspend.form)
	want(t, w, http.StatusForbidden, whoGives)
	if strings.Contains(w.Body.String(), "What you entered") {
		t.Error("nothing was entered")
	}
	want(t, b.get(acme.Of()), http.StatusForbidden, whoGives)
}

// TestAForeignGroupHasNoPages: it looks as one that does not exist, and as a page of one's own that does not.
func TestAForeignGroupHasNoPages(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	for _, page := range []string{"", "/usage", "/requests", "/new-key"} {
		w := b.get("/groups/team-a/foreign" + page)
		want(t, w, http.StatusNotFound, "It does not exist, or you may not see it.")
		if strings.Contains(w.Body.String(), "Pages of this Group") {
			t.Errorf("%s: %s", page, w.Body)
		}
	}
}
