package page

import (
	"strings"
	"testing"
	"time"
)

var exampleRequests = Requests{Next: "/groups/acme/requests?after=x", Requests: []Request{
	{Name: "web", Href: "/groups/acme/requests/5f0c", Namespace: "shop", By: "ben@acme.example", Projects: "media, maps", Permissions: "read",
		UseCase: "The shop shows scenes.", Lifetime: "90d", State: State{"Undecided", Warn}, At: now.Add(-26 * time.Hour)},
	{Name: "import", Href: "/groups/acme/requests/77aa", Namespace: "batch", By: "not recorded", Projects: "media", Permissions: "read, checkout",
		UseCase: "</bdi><b>Import", Lifetime: "default of the Group", State: State{"Refused", Off}, At: now.Add(-50 * time.Hour)},
}}

var exampleRequest = RequestDetail{Request: exampleRequests.Requests[0], Action: "/groups/acme/requests/5f0c", Back: "/groups/acme/requests", Decides: true,
	Ends: now.Add(90 * 24 * time.Hour)}

func exampleRequestShortened() RequestDetail {
	page := exampleRequest
	page.Shortened = true
	return page
}

func exampleRequestLacking() RequestDetail {
	page := exampleRequest
	page.Lacks = "The Group has no project <b>maps."
	return page
}

func exampleRequestUnfit() RequestDetail {
	page := exampleRequest
	page.Ends, page.Unfit = time.Time{}, "This Group accepts no requests for keys."
	return page
}

func exampleRequestRefused() RequestDetail {
	page := exampleRequest
	page.Problem = "Nothing was decided."
	page.Reason = Input{Value: "</textarea><b>No", Error: "Write why. Who asked reads it."}
	return page
}

func exampleRequestApproved() RequestDetail {
	page := exampleRequest
	page.State, page.Decides, page.Withdraws = State{"Approved", Good}, false, true
	page.Decided = []Decided{{State: page.State, By: "ada@acme.example", Reason: "We know them.\nUntil May.", At: now.Add(-time.Hour)}}
	return page
}

func exampleRequestOver() RequestDetail {
	page := exampleRequestApproved()
	page.State, page.Withdraws = State{"Withdrawn", Off}, false
	page.Decided = append(page.Decided, Decided{State: page.State, By: "ada@acme.example", At: now.Add(-time.Minute)})
	return page
}

// TestWhatCanBeDecided has the buttons of each page, and texts of others as text.
func TestWhatCanBeDecided(t *testing.T) {
	reads := exampleRequest
	reads.Decides = false
	for name, one := range map[string]struct {
		page    RequestDetail
		buttons string
	}{
		"undecided": {exampleRequestRefused(), "approve refuse"}, "approved": {exampleRequestApproved(), "withdraw"}, "over": {exampleRequestOver(), ""},
		"only read": {reads, ""},
	} {
		got := (example{"request", "Request for a key", one.page}).render(t)
		var buttons []string
		for _, verb := range []string{"approve", "refuse", "withdraw"} {
			if strings.Contains(got, `name="step" value="`+verb+`"`) {
				buttons = append(buttons, verb)
			}
		}
		if strings.Join(buttons, " ") != one.buttons || strings.Contains(got, `action="/groups/`) != (one.buttons != "") || strings.Contains(got, "<b>") {
			t.Errorf("%s: %q: %s", name, buttons, got)
		}
	}
	if got := (example{"requests", "Requests for keys of acme", exampleRequests}).render(t); strings.Contains(got, "<b>") || !strings.Contains(got, "&lt;b&gt;Import") {
		t.Error(got)
	}
}
