package page

import (
	"strings"
	"testing"
	"time"
)

var exampleAsk = Ask{
	Action: "/ask", Back: "/groups/acme", Namespace: Input{Value: "shop"}, Group: Input{Value: "acme/acme"},
	Projects:    Pick{Of: []Choice{{Value: "media", Text: "media", Chosen: true}, {Value: "maps", Text: "maps"}}, Value: "media"},
	Permissions: Pick{Of: []Choice{{Value: "read", Text: "read", Chosen: true}, {Value: "checkout", Text: "checkout"}}, Value: "read"},
	Lifetime:    Pick{Of: []Choice{{Text: "90 days", Chosen: true, Recommended: true}, {Value: "30d", Text: "30 days"}}},
}

// exampleAskBlind is the form for a Group that the person may not see, as it was refused.
func exampleAskBlind() Ask {
	return Ask{
		Action: "/ask", Back: "/requests", Problem: "You may not do this.", Namespace: Input{Value: "Shop", Error: "Use lower-case letters, digits and hyphens."},
		Group: Input{Value: "acme/acme"}, Name: Input{Value: "web"}, Projects: Pick{Value: "media\n</textarea><b>maps", Error: "Use lower-case letters."},
		Permissions: Pick{Value: "read"}, UseCase: Input{Value: "</textarea><b>Shop"}, Lifetime: Pick{Value: "90 days", Error: "Write a duration such as 90d."},
		YAML: "apiVersion: keyward.dev/v1alpha1\nkind: KeyRequest\nmetadata:\n  name: web\n  namespace: shop\n",
	}
}

func exampleAskOff() Ask {
	page := exampleAsk
	page.Note = "This Group accepts no requests for keys at present."
	return page
}

var exampleOwnRequests = OwnRequests{Action: "/requests", Ask: "/ask?namespace=shop", Search: Input{Value: "shop/"}, Next: "/requests?after=x", Requests: []Request{
	{Name: "web", Href: "/requests/shop/web", Group: Link{Text: "acme/acme"}, Namespace: "shop", By: "ben@acme.example", Projects: "media, maps",
		Permissions: "read", UseCase: "The shop shows scenes.", State: State{"Pending", Warn}, At: now.Add(-26 * time.Hour)},
	{Name: "import", Href: "/requests/shop/import", Group: Link{Text: "acme/acme"}, Namespace: "shop", By: "not recorded", Projects: "media",
		Permissions: "read", UseCase: "</bdi><b>Import", State: State{"Issued", Good}, At: now.Add(-50 * time.Hour)},
}}

func exampleOwnRequest() OwnRequest {
	page := OwnRequest{Request: exampleOwnRequests.Requests[0], Back: "/requests?search=shop%2F", Delete: "/requests/shop/web/delete",
		Problem: "No Group \"acme\" in namespace \"acme\" accepts requests for keys from this namespace."}
	page.Lifetime = "90d"
	return page
}

func exampleOwnRequestIssued() OwnRequest {
	page := exampleOwnRequest()
	page.Problem, page.Managed, page.State, page.Group.Href = "", "Argo CD", State{"Issued", Good}, "/groups/acme/acme"
	page.Decided = []Decided{{State: State{"Approved", Good}, By: "ada@acme.example", Reason: "We know them.", At: now.Add(-time.Hour)}}
	page.Key, page.KeyNow = Link{"web", "/groups/acme/acme/keys/shop/web"}, State{"Expires soon", Warn}
	page.Mount = Mount{Namespace: "shop", Secret: "web", Item: "api-key", Address: "https://content.example/"}
	return page
}

// exampleOwnRequestUnseen is that of somebody who may see neither the Group nor the key.
func exampleOwnRequestUnseen() OwnRequest {
	page := exampleOwnRequestIssued()
	page.Managed, page.Group.Href, page.Key.Href, page.KeyNow, page.Mount.Unseen = "", "", "", State{}, true
	return page
}

var exampleDeleteRequest = DeleteRequest{Name: "web", Action: "/requests/shop/web/delete", Back: "/requests/shop/web"}

func exampleDeleteRequestWithKey() DeleteRequest {
	page := exampleDeleteRequest
	page.Managed, page.Key, page.Typed, page.Error = "Flux", "web", "wbe", "This is not its name."
	return page
}

// askExamples are the pages for who asks.
func askExamples() []example {
	return []example{
		{"ask", "Ask for a key", exampleAsk},
		{"ask-blind", "Ask for a key", exampleAskBlind()},
		{"ask-off", "Ask for a key", exampleAskOff()},
		{"keys-ask", "Keys of acme", Keys{Ask: "/ask?group=acme%2Facme&namespace=acme"}},
		{"ownrequests", "Requests for keys", exampleOwnRequests},
		{"ownrequests-named", "Requests for keys", OwnRequests{Action: "/requests", Ask: "/ask", Named: true}},
		{"ownrequests-none", "Requests for keys", OwnRequests{Action: "/requests", Search: Input{Value: "shop/"}, Within: "shop"}},
		{"ownrequest", "Request web", exampleOwnRequest()},
		{"ownrequest-issued", "Request web", exampleOwnRequestIssued()},
		{"ownrequest-unseen", "Request web", exampleOwnRequestUnseen()},
		{"deleterequest-soon", "Delete the request web", DeleteRequest{Name: "web", Action: "/requests/shop/web/delete", Back: "/requests/shop/web", Key: "web", Soon: true}},
		{"deleterequest", "Delete the request web", exampleDeleteRequest},
		{"deleterequest-key", "Delete the request web", exampleDeleteRequestWithKey()},
	}
}

// TestTextsOfWhoAsksStayTexts has what was typed in fields, and nothing of it as markup.
func TestTextsOfWhoAsksStayTexts(t *testing.T) {
	for _, e := range askExamples() {
		if got := e.render(t); strings.Contains(got, "<b>") {
			t.Errorf("%s: %s", e.name, got)
		}
	}
	blind := (example{"ask-blind", "Ask for a key", exampleAskBlind()}).render(t)
	for _, want := range []string{"\nmedia\n&lt;/textarea&gt;&lt;b&gt;maps</textarea>", `value="90 days" aria-describedby="lifetime-error lifetime-help" aria-invalid="true"`,
		"&lt;b&gt;Shop</textarea>", `value="Shop" aria-describedby="namespace-error namespace-help"`} {
		if !strings.Contains(blind, want) {
			t.Errorf("it lacks %q: %s", want, blind)
		}
	}
}

// TestWhatIsOfferedToWhoAsks has the ways from a request: nobody is offered what they may not do.
func TestWhatIsOfferedToWhoAsks(t *testing.T) {
	looks := exampleOwnRequest()
	looks.Delete = ""
	for name, c := range map[string]struct {
		page writer
		text string
		has  bool
	}{
		"delete": {exampleOwnRequest(), "Delete the request", true}, "may not delete": {looks, "Delete the request", false},
		"ask": {exampleOwnRequests, "Ask for a key", true}, "may not ask": {OwnRequests{}, "Ask for a key", false},
		"no key yet": {exampleOwnRequest(), "Use it", false}, "a key": {exampleOwnRequestIssued(), "secretKeyRef", true},
		"of the Group": {Keys{Ask: "/ask"}, `href="/ask">Ask for a key`, true}, "not of the Group": {Keys{}, "Ask for a key", false},
		"the key is typed": {exampleDeleteRequestWithKey(), `name="name"`, true}, "no key is typed": {exampleDeleteRequest, `name="name"`, false},
		"where requests are": {Groups{Asked: "/requests"}, `href="/requests"`, true}, "not on the list": {Groups{}, `href="/requests"`, false},
	} {
		if got := (example{name, "A page", c.page}).render(t); strings.Contains(got, c.text) != c.has {
			t.Errorf("%s: %q: %s", name, c.text, got)
		}
	}
}
