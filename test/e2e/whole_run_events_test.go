package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// TestEventsHaveNoKeysPathsOrQueries searches the logs of all Groups of the run, those of deleted ones among them, which outlive them. The go tool
// runs tests in the order of their files: only that of whole_run_test.go is later.
func TestEventsHaveNoKeysPathsOrQueries(t *testing.T) {
	w := newWorld(t)
	first := w.lead(managerSetup{startupGrace: quick})
	content := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(content.Close)
	v := w.startValidator(validatorSetup{instance: "validator", upstream: content.URL, flags: []string{"--usage-interval=1s"}})
	v.awaitReady()
	w.createGroup()
	key := w.mint("web", func(k *v1alpha1.ApiKey) { k.Spec.Description = "for /mkt/described?site=42" })
	w.ask(v, key, "/mkt/asked?token=asked")
	const refused = 120
	for range refused {
		w.ask(v, key, "/prd/asked?token=asked")
	}
	eventually(t, "the refusals to be persisted", 2*patience, func() error {
		w.ask(v, key, "/mkt/asked?token=asked") // what is allowed is persisted soon, and the refusals with it
		usage := &v1alpha1.GroupUsage{}
		if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "acme"}, usage); err != nil {
			return err
		}
		days, total := usage.Status.Days, int64(0)
		for _, day := range days {
			for _, requests := range day.Refusals { // most of them are too many failures
				total += requests
			}
		}
		if total < refused {
			return fmt.Errorf("there are %+v", days)
		}
		return nil
	})
	first.stop(patience)
	w.lead(managerSetup{startupGrace: quick}) // which looks at what was refused
	eventually(t, "the log to have the refusals", patience, func() error {
		for _, event := range w.wholeLog() {
			if event.Type == groupevent.TypeGroupRequestsRefused && strings.Contains(string(event.Data), `"code":"project_denied"`) {
				return nil
			}
		}
		return errors.New("it has not")
	})
	group := &v1alpha1.Group{}
	eventually(t, "the Group to have other routes", patience, func() error {
		if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "acme"}, group); err != nil {
			return err
		}
		group.Spec.DisplayName = "Acme"
		group.Spec.Projects[0].Routes = append(group.Spec.Projects[0].Routes,
			v1alpha1.Route{Paths: []string{"/mkt-edited/**"}, Query: map[string]v1alpha1.QueryValues{"site": {"42"}}})
		return w.admin.Update(w.ctx, group)
	})
	w.awaitKey("web", "ready", isReady)
	if err := errors.Join(w.admin.Delete(w.ctx, w.newKey("web")), w.admin.Delete(w.ctx, group)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log to end with its Group", patience, func() error {
		types := []string{}
		for _, event := range w.wholeLog() {
			types = append(types, event.Type.Short())
		}
		if len(types) == 0 || types[len(types)-1] != "group.deleted" || !slices.Contains(types, "group.edited") {
			return fmt.Errorf("it has %q", types)
		}
		return nil
	})

	keys := w.minted.all()
	search, digests := searchFor(keys), []string{}
	for key := range keys {
		_, digits, _ := strings.Cut(keyformat.DigestOf(key).String(), ":")
		digests = append(digests, digits)
	}
	findsPathsAnyway(t)
	var logs v1alpha1.GroupLogList
	if err := w.admin.List(w.ctx, &logs); err != nil {
		t.Fatal(err)
	}
	types, events := map[string]int{}, 0
	for _, segment := range logs.Items {
		for line := range strings.Lines(segment.Spec.Events) {
			event, err := groupevent.Decode([]byte(strings.TrimSuffix(line, "\n")))
			if err != nil {
				t.Errorf("GroupLog %s/%s: %v", segment.Namespace, segment.Name, err)
				continue
			}
			events++
			types[event.Type.Short()]++
			for _, found := range search.in([]byte(line)) {
				t.Errorf("an event has the plaintext of %s: %s", found, event.Type)
			}
			for _, digest := range digests {
				if strings.Contains(line, digest) {
					t.Errorf("an event has a digest: %s", line)
				}
			}
			for _, text := range pathsIn(t, &event) {
				t.Errorf("an event has %q: %s", text, line)
			}
		}
	}
	for _, kind := range []string{
		"key.created", "key.minted", "key.delivered", "key.deleted", "group.created", "group.edited", "group.requests-refused", "group.deleted",
	} {
		if types[kind] == 0 {
			t.Errorf("no event %s was searched", kind)
		}
	}
	t.Logf("searched %d events in %d segments for %d keys: %v", events, len(logs.Items), len(keys), types)
}

// ask sends a request through the proxy.
func (w *world) ask(v *validator, key, target string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://"+v.listens.Proxy.String()+target, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", key)
	response, err := v.requests.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
}

// requestText matches what only a path or a query of a request has: a text that begins with a slash, a query, a URL with more than an origin, or
// one of the paths that the tests of this package ask for.
var requestText = regexp.MustCompile(`^/|\?|[&?]\w+=|://[^/\s]*/.|/(mkt|prd|api/scenes|tenant)\b`)

// pathsIn returns the texts of an event that may be of a request. What names the log and the object is not searched: these are names.
func pathsIn(t *testing.T, event *groupevent.Event) (found []string) {
	t.Helper()
	var data any
	if err := json.Unmarshal(event.Data, &data); err != nil {
		t.Fatal(err)
	}
	texts := append([]string{event.Actor.User, event.Actor.Via, event.ID}, event.Actor.Groups...)
	texts = append(texts, textsIn(data)...)
	for _, text := range texts {
		if requestText.MatchString(text) {
			found = append(found, text)
		}
	}
	return found
}

func textsIn(value any) (texts []string) {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		for _, one := range value {
			texts = append(texts, textsIn(one)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			texts = append(append(texts, name), textsIn(value[name])...)
		}
	}
	return texts
}

// findsPathsAnyway shows that the search finds paths and queries wherever they are in the data of an event, and nothing in the examples.
func findsPathsAnyway(t *testing.T) {
	t.Helper()
	for _, entry := range groupevent.Catalogue() {
		event, err := groupevent.Example(entry)
		if err != nil {
			t.Fatal(err)
		}
		if found := pathsIn(t, &event); len(found) > 0 {
			t.Errorf("in the example of %s: %q", entry.Type, found)
		}
	}
	for _, text := range []string{"/mkt/scene", "/mkt/**", "of /mkt/scene", "site?id=42", "https://cdn.acme.com/scene"} {
		event := groupevent.Event{Data: json.RawMessage(fmt.Sprintf(`{"changes":[{"field":"spec","after":%q}]}`, text))}
		if len(pathsIn(t, &event)) != 1 {
			t.Errorf("the search does not find %s", text)
		}
	}
}
