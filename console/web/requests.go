package web

import (
	"errors"
	"net/http"
)

func (c *console) routeRequests() {
	c.page(groupPattern+"/requests", ofGroup("Requests for keys of "), requests)
	c.form(requestPattern, form{title: titled("Request for a key"), show: showRequest, do: c.decideRequest})
}

// requests is one page of the requests for keys of a Group.
func requests(a *asked) (document, error) {
	f := read(a.r.URL.Query())
	after := f.text("after", mostCursor)
	if f.check() != nil {
		return nil, &InvalidError{Fields: map[string]string{"": "This page of the list does not exist."}}
	}
	return a.desk.Requests(a.r.Context(), a.group, after)
}

// verdicts are what the buttons of a request decide.
var verdicts = map[string]string{"approve": "Approved", "refuse": "Refused", "withdraw": "Withdrawn"}

func showRequest(a *asked) (document, error) {
	p, err := a.desk.Request(a.r.Context(), a.group, a.r.PathValue("request"))
	if err != nil {
		return nil, err
	}
	if a.sent() {
		f := read(a.r.PostForm)
		p.Reason.Value = f.prose("reason", mostWhy)
		refuse(&p.Reason.Error, f.errors, "reason")
	}
	p.Problem = a.problemBeside(p.Problem, "reason")
	refuse(&p.Reason.Error, a.errors, "reason")
	return p, nil
}

// decideRequest shows what was decided, if somebody else was faster.
func (c *console) decideRequest(a *asked) error {
	f := read(a.r.PostForm)
	decision := Decision{Verdict: verdicts[a.r.PostForm.Get("step")], Reason: f.prose("reason", mostWhy)}
	switch {
	case decision.Verdict == "":
		f.refuse("", "Choose what to decide.")
	case decision.Verdict == verdicts["refuse"] && decision.Reason == "":
		f.refuse("reason", "Write why. Who asked reads it.")
	}
	if err := f.check(); err != nil {
		return err
	}
	name := a.r.PathValue("request")
	err := a.desk.DecideRequest(a.r.Context(), a.group, name, decision)
	if errors.Is(err, ErrConflict) {
		const problem = "Somebody else was faster, and nothing was done. This is what the request is now."
		return c.again(a, form{title: titled("Request for a key"), show: showRequest}, http.StatusConflict, problem)
	}
	if err == nil {
		a.leave(a.group.Request(name))
	}
	return err
}
