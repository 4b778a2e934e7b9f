package web_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/console/web"
)

const noticeCookie = "__Host-keyward-notice"

// TestWarningsAreOnThePageThatFollows has each form that leaves warn: that page says it once, and no address has it.
func TestWarningsAreOnThePageThatFollows(t *testing.T) {
	t.Parallel()
	for _, one := range changes() {
		b := install(t).browser().signIn()
		b.warns = []string{"the <b>name</b> is\x00 short", "the <b>name</b> is\x00 short", ""}
		w := b.send(one.path, one.form)
		const says = "Warning: <bdi>the &lt;b&gt;name&lt;/b&gt; is  short</bdi>"
		if one.leaves == "" { // it answers itself
			want(t, w, http.StatusOK, says)
			continue
		}
		at := w.Header().Get("Location")
		if w.Code != http.StatusSeeOther || strings.Contains(at, "name") || strings.Contains(b.cookies[noticeCookie], "name") || b.cookies[noticeCookie] == "" {
			t.Fatalf("%s: %d, to %s, %v", one.path, w.Code, at, b.cookies)
		}
		if text := b.get("/").Body.String(); strings.Contains(text, "Warning:") {
			t.Errorf("%s: another page says it: %s", one.path, text)
		}
		b.headers["Sec-Fetch-Mode"] = "cors"
		if text := b.get(at).Body.String(); strings.Contains(text, "Warning:") {
			t.Errorf("%s: a script gets it: %s", one.path, text)
		}
		delete(b.headers, "Sec-Fetch-Mode")
		w = b.get(at)
		want(t, w, http.StatusOK, says)
		if n := strings.Count(w.Body.String(), "Warning:"); n != 1 {
			t.Errorf("%s: %d warnings", one.path, n)
		}
		if text := b.get(at).Body.String(); strings.Contains(text, "Warning:") {
			t.Errorf("%s: it is said again: %s", one.path, text)
		}
	}
}

// TestWarningsOfAFormThatIsShownAgain: what was refused may have been warned of, too.
func TestWarningsOfAFormThatIsShownAgain(t *testing.T) {
	t.Parallel()
	for err, status := range map[error]int{
		&web.InvalidError{Fields: map[string]string{"name": "No."}}: http.StatusUnprocessableEntity,
		fmt.Errorf("%w: x", web.ErrConflict):                        http.StatusConflict,
	} {
		b := install(t).browser().signIn()
		b.warns, b.fails = []string{"a policy ends soon"}, err
		want(t, b.send(changes()[0].path, changes()[0].form), status, "Warning: <bdi>a policy ends soon</bdi>")
		if b.cookies[noticeCookie] != "" {
			t.Error("it is said again on the next page")
		}
	}
}

// TestWarningsAreBounded: in number and in length, and what does not fit is said to be left out.
func TestWarningsAreBounded(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	for i := range 100 {
		b.warns = append(b.warns, fmt.Sprintf("%d%s", i, strings.Repeat("<é", 2000)))
	}
	w := b.send(changes()[6].path, nil)
	text := w.Body.String()
	if n := strings.Count(text, "Warning:"); n != 6 || !strings.Contains(text, "There are more warnings.") || strings.Contains(text, strings.Repeat("&lt;é", 301)) {
		t.Errorf("%d warnings: %s", n, text)
	}
	rotate := changes()[2]
	at := b.send(rotate.path, rotate.form).Header().Get("Location")
	if n := len(b.cookies[noticeCookie]); n == 0 || n > 2048 {
		t.Errorf("the cookie has %d bytes", n)
	}
	want(t, b.get(at), http.StatusOK, "There are more warnings.")
	b.warns = nil
	b.send(rotate.path, rotate.form)
	if b.cookies[noticeCookie] != "" {
		t.Error("there is nothing to say")
	}
	web.Warn(context.Background(), "nobody reads this")
}

// TestWarningsAreForOneSession, and for some minutes.
func TestWarningsAreForOneSession(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.warns = []string{"it ends soon"}
	rotate := changes()[2]
	for name, change := range map[string]func(sent, other *browser){
		"another session": func(sent, other *browser) { other.cookies[noticeCookie] = sent.cookies[noticeCookie] },
		"too late":        func(sent, other *browser) { other.cookies = sent.cookies; i.now = i.now.Add(2 * time.Minute) },
		"invalid":         func(_, other *browser) { other.cookies[noticeCookie] = "v1.x.AAAA" },
		"another cookie":  func(_, other *browser) { other.cookies[noticeCookie] = other.cookies["__Host-keyward-token"] },
	} {
		i.now = i.now.Add(time.Hour) // attempts to sign in are bounded
		sent, other := i.browser().signIn(), i.browser().signIn()
		at := sent.send(rotate.path, rotate.form).Header().Get("Location")
		change(sent, other)
		if text := other.get(at).Body.String(); strings.Contains(text, "Warning:") {
			t.Errorf("%s: %s", name, text)
		}
		if other.cookies[noticeCookie] != "" {
			t.Errorf("%s: the browser keeps it", name)
		}
	}
}
