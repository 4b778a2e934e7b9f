package plugin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// hostile is a text from another person that would move the cursor, send commands to the terminal, forge a line, or reverse
// the direction of writing. It has a character beyond U+FFFF that is not visible, as flags of regions have.
const hostile = "x\x1b[2J\x1b]0;pwned\x07\x1b[31m\u009b5m\x7f\u202efdp\u2028\U000e0067\r\nFORGED: all is well\ty"

// harmless fails if an output has commands for a terminal, or if a text of an object begins a line.
func (r result) harmless(t *testing.T) result {
	t.Helper()
	for _, text := range []string{r.out, r.err} {
		for _, one := range text {
			if one != '\n' && !visible(one) {
				t.Errorf("%U reaches the terminal in\n%q", one, text)
				break
			}
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(strings.TrimSpace(line), "FORGED") {
				t.Errorf("a line is forged in\n%q", text)
			}
		}
	}
	return r
}

func TestTextsOfOthersAreOnlyTexts(t *testing.T) {
	namespace(t, "hostile")
	month(t, "hostile", "acme", func(g *v1alpha1.Group) {
		g.Spec.DisplayName = hostile
		g.Status.Limits.Tier = hostile
		g.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionQuotaLow, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonQuotaUsed, Message: hostile,
			LastTransitionTime: *at(-day),
		}, {Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalidSpec,
			Message: hostile, LastTransitionTime: *at(-day)}}
	})
	object(t, "hostile", "web", func(k *v1alpha1.ApiKey) {
		counted("acme", 17, at(-day))(k)
		k.Status.KeyID = "khostile"
		k.Spec.Description, k.Status.CreatedBy = hostile, hostile
		k.Spec.Rotation.Trigger = hostile
		k.Status.Enforcement = &v1alpha1.Enforcement{
			Servers: ptr.To[int32](3), Acknowledged: ptr.To[int32](1), Record: "r1", WaitingFor: []string{hostile}, Disconnected: []string{hostile},
		}
		k.Status.Versions[0].Preview = hostile[:20]
		condition(k, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, hostile)
		condition(k, v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonServersDisconnected, hostile)
		condition(k, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec, hostile)
	})
	rogue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("requestId") == "broken" {
			http.Error(w, hostile, http.StatusTeapot)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"decisions": []any{map[string]any{
			"time": now, "requestId": hostile, "integration": hostile, "code": hostile, "status": 403, "method": hostile,
			"host": hostile, "origin": hostile,
			"group": hostile, "project": hostile, "keyId": hostile,
		}}})
	}))
	t.Cleanup(rogue.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(adminToken), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := []string{"--url", rogue.URL, "--token-file", file}
	for name, args := range map[string][]string{
		"a table": {"status", "-A"}, "one": {"status", "web", "-n", "hostile"},
		"usage": {"usage", "acme", "-n", "hostile"}, "wide": {"usage", "acme", "-n", "hostile", "-o", "wide"},
		"explain": append([]string{"explain", "r1"}, asked...), "explain an error": append([]string{"explain", "broken"}, asked...),
		"suspend": {"suspend", "web", "-n", "hostile", "--timeout", "1ms"},
		"rotate":  {"rotate", "web", "-n", "hostile", "--yes", "--timeout", "1ms"},
		"a name":  {"status", hostile, "-n", "hostile"}, "a flag": {"status", "--" + hostile},
		"a namespace": {"status", "-n", hostile}, "a verb": {hostile},
		"completion": {"__complete", "status", "-n", "hostile", ""}, "reveal": {"reveal", "web", "-n", "hostile"},
	} {
		t.Run(name, func(t *testing.T) {
			r := keyward(t, "", args...).harmless(t)
			if r.out+r.err == "" {
				t.Error("it says nothing")
			}
		})
	}
	for name, args := range map[string][]string{
		"status": {"status", "web", "-n", "hostile"}, "usage": {"usage", "acme", "-n", "hostile"},
		"explain": append([]string{"explain", "r1"}, asked...),
	} {
		t.Run(name+" as a document", func(t *testing.T) {
			r := keyward(t, "", append(args, "-o", "json")...).harmless(t)
			if document := read[map[string]any](t, r); !holds(document, hostile) {
				t.Errorf("the document no longer says what the object does:\n%s", r.out)
			}
			r = keyward(t, "", append(args, "-o", "yaml")...).harmless(t)
			var document map[string]any
			if err := yaml.Unmarshal([]byte(r.out), &document); err != nil || len(document) == 0 {
				t.Errorf("%v\n%s%s", err, r.out, r.err)
			}
		})
	}
}

// holds reports whether a text is somewhere in a document.
func holds(document any, text string) bool {
	switch d := document.(type) {
	case string:
		return strings.Contains(d, text)
	case []any:
		for _, one := range d {
			if holds(one, text) {
				return true
			}
		}
	case map[string]any:
		for _, one := range d {
			if holds(one, text) {
				return true
			}
		}
	}
	return false
}

// TestColoursAreOurs: on a terminal, too, only the plugin's own colours are escape sequences.
func TestColoursAreOurs(t *testing.T) {
	p := &page{colours: true, now: now}
	p.line("%s is %s: %v", p.paint(red, hostile), hostile, errors.New(hostile))
	p.table([][]cell{{{hostile, bold}, {text: hostile}}, {{text: "a"}, {"b", green}}})
	rest := p.String()
	for _, ours := range []string{"\x1b[31m", "\x1b[1m", "\x1b[32m"} {
		if strings.Count(rest, ours) != 1 {
			t.Errorf("%q is there %d times in %q", ours, strings.Count(rest, ours), rest)
		}
		rest = strings.ReplaceAll(rest, ours, "")
	}
	rest = strings.ReplaceAll(rest, "\x1b[0m", "")
	result{out: rest}.harmless(t)
}

// TestEveryTextBecomesHarmless: the writer in front of the terminal cleans every text, and does not change JSON.
func TestEveryTextBecomesHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(),
			rapid.RuneFrom([]rune("\x1b[]\n\r\u009b\u202e\u2066\U000e0041\x00é漢👍\"\\")))).Draw(t, "text")
		var out strings.Builder
		w := cleanWriter{&out}
		if n, err := w.Write([]byte(text)); err != nil || n != len(text) {
			t.Fatal(n, err)
		}
		for _, one := range out.String() {
			if one != '\n' && one != '\t' && !visible(one) {
				t.Fatalf("%U is left of %q", one, text)
			}
		}
		if line := clean(text); strings.ContainsAny(line, "\n\r\t") {
			t.Fatalf("%q has more than one line", line)
		}
		encoded, err := json.MarshalIndent(map[string]string{"text": text}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		out.Reset()
		_, _ = w.Write(encoded)
		var was, is map[string]string
		if err := json.Unmarshal([]byte(out.String()), &is); err != nil {
			t.Fatalf("%v of %s", err, out.String())
		}
		if _ = json.Unmarshal(encoded, &was); !reflect.DeepEqual(was, is) {
			t.Fatalf("%q became %q", was, is)
		}
	})
}

// TestNamesOfUsersDiffer: no two names of users look the same in a table, and none looks like several columns, or like nobody.
func TestNamesOfUsersDiffer(t *testing.T) {
	for name, want := range map[string]string{
		"jane@acme.example": "jane@acme.example", "Jane Doe": "Jane Doe", `CORP\ursula`: `CORP\ursula`, "田中": "田中", "": "", "-": `\u002d`,
		"jane   kubectl": `jane\u0020\u0020\u0020kubectl`, " jane ": `\u0020jane\u0020`, "jane\ndoe": `jane\u000adoe`, "jane\tdoe": `jane\u0009doe`,
		"jane\u00a0doe": `jane\u00a0doe`, "jane\u3000doe": `jane\u3000doe`, `jane\u0020`: `jane\u005cu0020`, "\x1b[2J": `\u001b[2J`, "a\u202eb": `a\u202eb`,
	} {
		if got := exact(name); got != want {
			t.Errorf("%q is shown as %s, want %s", name, got, want)
		}
	}
	part := rapid.SampledFrom([]string{"jane", " ", "  ", "\n", "\t", "\u00a0", "\u2003", "\x1b", `\u0020`, `\u`, `\`, "0020", "00", "-", "u", "5c"})
	drawn := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(part, 0, 6).Draw(t, "parts"), "") })
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawn.Draw(t, "a"), drawn.Draw(t, "b")
		if a != b && exact(a) == exact(b) {
			t.Fatalf("%q and %q are both shown as %s", a, b, exact(a))
		}
		p := &page{now: now}
		p.table([][]cell{texts("TIME", or(exact(a), "-"), "VIA")})
		if line := strings.TrimSuffix(p.String(), "\n"); len(strings.Split(line, "   ")) != 3 || strings.Contains(line, "\n") {
			t.Fatalf("%q is shown as several columns: %q", a, line)
		}
	})
}

// TestAuditHasOneActorInALine: the name of a user adds no column and no line to the log.
func TestAuditHasOneActorInALine(t *testing.T) {
	p := &app{now: func() time.Time { return now }}
	var out strings.Builder
	p.streams.Out = &out
	event := groupevent.Event{Time: now, Type: groupevent.TypeKeyRevoked, Subject: groupevent.Subject{Name: "web"}, Data: []byte(`{}`),
		Actor: groupevent.Actor{User: "x   kubectl\n2026-11-21 12:00:00 UTC   key.created   web   jane   kubectl", Via: groupevent.ViaOther}}
	if err := p.printEvents([]groupevent.Event{event}, true); err != nil {
		t.Fatal(err)
	}
	lines := splitLines(out.String())
	if len(lines) != 2 || len(regexp.MustCompile(` {2,}`).Split(lines[1], -1)) != 5 {
		t.Errorf("%q", lines)
	}
}
