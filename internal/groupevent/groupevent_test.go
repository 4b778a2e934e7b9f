package groupevent

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the catalogue into docs/reference")

const (
	page   = "../../docs/reference/events.md"
	schema = "../../docs/reference/group-event-v1.schema.json"
	mark   = "<!-- events -->\n"

	noticesPage  = "../../docs/notices.md"
	noticesBegin = "<!-- notices -->\n\n"
	noticesEnd   = "<!-- end of notices -->\n"
)

// log returns n events of a log, with their lines.
func log(t *rapid.T, n int) (events []Event, lines [][]byte) {
	text := rapid.StringN(1, 12, 40)
	group := Group{"tenants", "acme", "uid-1"}
	head := Head{}
	for i := range n {
		entry := rapid.SampledFrom(catalogue).Draw(t, "type")
		by := Actor{User: text.Draw(t, "user"), Groups: rapid.SliceOfN(text, 0, 3).Draw(t, "groups"), Via: ViaKubectl}
		at := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time"))
		subject := Subject{entry.Kind, "tenants", "acme-web", fmt.Sprintf("uid-%d", i)}
		event, err := New(group, entry.Type, fmt.Sprintf("%d/%s", i, text.Draw(t, "id")), at, subject, by, entry.Example)
		if err != nil {
			t.Fatal(err)
		}
		if event, err = Append(head, event); err != nil {
			t.Fatal(err)
		}
		line, err := event.Encode()
		if err != nil {
			t.Fatal(err)
		}
		events, lines, head = append(events, event), append(lines, line), event.Head()
	}
	return events, lines
}

// verify verifies a whole log that is known to have had a head.
func verify(lines [][]byte, head Head) *Divergence {
	verifier := NewVerifier("", Head{}, head)
	for _, line := range lines {
		if _, divergence := verifier.Add(line); divergence != nil {
			return divergence
		}
	}
	return verifier.Close()
}

func TestEncodingIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, lines := log(t, 3)
		for i, line := range lines {
			if bytes.ContainsAny(line, "\n\r") {
				t.Fatalf("more than one line: %q", line)
			}
			read, err := Decode(line)
			if err != nil {
				t.Fatal(err)
			}
			if len(read.Actor.Groups) == 0 && len(events[i].Actor.Groups) == 0 {
				read.Actor.Groups = events[i].Actor.Groups
			}
			if diff := cmp.Diff(events[i], read); diff != "" {
				t.Fatal(diff)
			}
		}
		if divergence := verify(lines, events[2].Head()); divergence != nil {
			t.Fatal(divergence)
		}
	})
}

// TestChangedByteIsFound changes any one byte of a log.
func TestChangedByteIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, lines := log(t, 4)
		i := rapid.IntRange(0, 3).Draw(t, "line")
		changed := slices.Clone(lines[i])
		at := rapid.IntRange(0, len(changed)-1).Draw(t, "at")
		changed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		lines[i] = changed
		divergence := verify(lines, events[3].Head())
		if divergence == nil || divergence.Sequence != uint64(i)+1 {
			t.Fatalf("byte %d of line %d: %v\n%s", at, i, divergence, changed)
		}
	})
}

// TestForgedEventIsFound changes an event and computes its hash again, as somebody who knows the format can.
func TestForgedEventIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, lines := log(t, 4)
		i := rapid.IntRange(0, 3).Draw(t, "line")
		forged := events[i]
		forged.Actor.User += "x"
		var err error
		if forged.Hash, err = forged.Sum(); err != nil {
			t.Fatal(err)
		}
		if lines[i], err = forged.Encode(); err != nil {
			t.Fatal(err)
		}
		expected := min(uint64(i)+2, 4) // the next event does not follow it; of the last, the head is another
		if divergence := verify(lines, events[3].Head()); divergence == nil || divergence.Fault != Replaced || divergence.Sequence != expected {
			t.Fatalf("line %d: %v", i, divergence)
		}
	})
}

func TestRemovedEventIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, lines := log(t, 6)
		from := rapid.IntRange(0, 4).Draw(t, "from")
		to := rapid.IntRange(from+1, 5).Draw(t, "to")
		divergence := verify(slices.Delete(lines, from, to), events[5].Head())
		if divergence == nil || divergence.Fault != Removed || divergence.Sequence != uint64(from)+1 {
			t.Fatal(from, to, divergence)
		}
	})
}

func TestCutTailIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, lines := log(t, 6)
		left := rapid.IntRange(0, 5).Draw(t, "left")
		divergence := verify(lines[:left], events[5].Head())
		if divergence == nil || divergence.Fault != MissingTail || divergence.Sequence != uint64(left)+1 {
			t.Fatal(left, divergence)
		}
	})
}

func TestReplayedSegmentIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, lines := log(t, 6)
		from := rapid.IntRange(0, 5).Draw(t, "from")
		to := rapid.IntRange(from+1, 6).Draw(t, "to")
		at := rapid.IntRange(to, 6).Draw(t, "at")
		divergence := verify(slices.Insert(slices.Clone(lines), at, lines[from:to]...), events[5].Head())
		if divergence == nil || divergence.Fault != Replayed || divergence.Sequence != uint64(at)+1 {
			t.Fatal(from, to, at, divergence)
		}
	})
}

func TestEventOfAnotherGroupIsFound(t *testing.T) {
	event, err := Example(catalogue[0])
	if err != nil {
		t.Fatal(err)
	}
	line, err := event.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, divergence := NewVerifier("another", Head{}).Add(line); divergence == nil || divergence.Fault != Foreign {
		t.Fatal(divergence)
	}
}

func TestVerifyFromTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, lines := log(t, 5)
		verifier := NewVerifier("uid-1", events[1].Head(), events[4].Head())
		for _, line := range lines[2:] {
			if _, divergence := verifier.Add(line); divergence != nil {
				t.Fatal(divergence)
			}
		}
		if divergence := verifier.Close(); divergence != nil {
			t.Fatal(divergence)
		}
		verifier = NewVerifier("uid-1", events[1].Head(), events[4].Head())
		if _, divergence := verifier.Add(lines[3]); divergence == nil || divergence.Fault != Removed {
			t.Fatal(divergence)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	event, err := Example(catalogue[0])
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := event.Encode()
	if err != nil {
		t.Fatal(err)
	}
	line := string(encoded)
	for name, changed := range map[string]string{
		"nothing":                  "",
		"another value":            "[]",
		"white space":              line + " ",
		"a second event":           line + line,
		"an unknown field":         strings.Replace(line, `{"data"`, `{"a":1,"data"`, 1),
		"a field twice":            strings.Replace(line, `"specversion"`, `"specversion":"1.0","specversion"`, 1),
		"another case":             strings.Replace(line, `"specversion"`, `"SpecVersion"`, 1),
		"another specversion":      strings.Replace(line, `"specversion":"1.0"`, `"specversion":"1.1"`, 1),
		"a time that contradicts":  strings.Replace(line, "2026-11-27T08:00:00.000Z", "2026-11-27T08:00:00.001Z", 1),
		"an id that contradicts":   strings.Replace(line, `"id":"5a0c`, `"id":"6a0c`, 1),
		"a type that contradicts":  strings.Replace(line, `"type":"dev.keyward.key.created.v1"`, `"type":"dev.keyward.key.deleted.v1"`, 1),
		"a sequence that differs":  strings.Replace(line, `"sequence":"00000000000000000001"`, `"sequence":"00000000000000000002"`, 1),
		"a source that differs":    strings.Replace(line, "groups/acme", "groups/other", 1),
		"no attestation":           strings.Replace(line, `"attestation_list":[{`, `"attestation_list":[],"x":[{`, 1),
		"a number with a fraction": strings.Replace(line, `"severity_id":1`, `"severity_id":1.0`, 1),
		"a very long line":         line[:len(line)-1] + strings.Repeat(" ", MaxSize) + "}",
	} {
		if changed == line {
			t.Fatalf("%s: nothing was changed in %s", name, line)
		}
		if _, err := Decode([]byte(changed)); err == nil {
			t.Errorf("%s was read: %s", name, changed)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, entry := range catalogue {
		event, err := Example(entry)
		if err != nil {
			f.Fatal(err)
		}
		line, err := event.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		event, err := Decode(line)
		if err != nil {
			return
		}
		if again, err := event.Encode(); err != nil || !bytes.Equal(again, line) {
			t.Fatalf("%s\n%s\n%v", line, again, err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	group, subject := Group{"tenants", "acme", "uid-1"}, Subject{"ApiKey", "tenants", "acme-web", "uid-2"}
	at := time.Unix(0, 0)
	for name, try := range map[string]func() (Event, error){
		"an unknown type": func() (Event, error) { return New(group, "key.nothing", "1", at, subject, Actor{}, Deleted{}) },
		"no id":           func() (Event, error) { return New(group, TypeKeyDeleted, "", at, subject, Actor{}, Deleted{}) },
		"no Group":        func() (Event, error) { return New(Group{}, TypeKeyDeleted, "1", at, subject, Actor{}, Deleted{}) },
		"bytes":           func() (Event, error) { return New(group, TypeKeyDeleted, "\xff", at, subject, Actor{}, Deleted{}) },
		"no time": func() (Event, error) {
			return New(group, TypeKeyDeleted, "1", time.Time{}, subject, Actor{}, Deleted{})
		},
		"too much": func() (Event, error) {
			return New(group, TypeKeyDeleted, "1", at, subject, Actor{}, Deleted{strings.Repeat("x", MaxSize)})
		},
		"a fraction": func() (Event, error) {
			return New(group, TypeKeyDeleted, "1", at, subject, Actor{}, map[string]any{"a": 1.5})
		},
	} {
		if event, err := try(); err == nil {
			t.Errorf("%s: %+v", name, event)
		}
	}
}

// TestCanonical has the examples of RFC 8785 that logs may have: there are no fractions.
func TestCanonical(t *testing.T) {
	for text, expected := range map[string]string{
		`{"literals":[null,true,false],"numbers":[4,-0]}`:                                          `{"literals":[null,true,false],"numbers":[4,0]}`,
		`{"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"}`:                               `{"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		"{\"\u20ac\":1,\"\\r\":2,\"\ufb33\":3,\"1\":4,\"\U0001f600\":5,\"\u0080\":6,\"\u00f6\":7}": "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"\u00f6\":7,\"\u20ac\":1,\"\U0001f600\":5,\"\ufb33\":3}",
		"[\n\"\\u2028<>&\"]\n": "[\"\u2028<>&\"]",
	} {
		if got, err := canonical([]byte(text)); err != nil || string(got) != expected {
			t.Errorf("%s:\n%s\n%s, %v", text, got, expected, err)
		}
	}
	for _, text := range []string{`1.5`, `1e400`, `9007199254740992`, `{} {}`, "\"\xff\"", ``} {
		if got, err := canonical([]byte(text)); err == nil {
			t.Errorf("%s became %s", text, got)
		}
	}
}

// TestHashesStay holds the format to a recorded event: logs of earlier releases must stay verifiable.
func TestHashesStay(t *testing.T) {
	event, err := Example(catalogue[1])
	if err != nil {
		t.Fatal(err)
	}
	const recorded = "8c524fca6de9a686b80ef1ffebbdb44740fa77223c3f12dedabcaa810f3e0243"
	if event.Hash != recorded {
		t.Errorf("the hash of a recorded event changed from %s to %s", recorded, event.Hash)
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	seen := map[Type]bool{}
	for _, entry := range Catalogue() {
		if seen[entry.Type] || entry.Kind == "" || entry.Activity == 0 || entry.Severity == 0 || entry.Meaning == "" || entry.Time == "" {
			t.Errorf("%+v", entry)
		}
		if TypeOf(entry.Type.Short()) != entry.Type || TypeOf(string(entry.Type)) != entry.Type {
			t.Errorf("%s has the short name %s", entry.Type, entry.Type.Short())
		}
		seen[entry.Type] = true
	}
}

// TestPageAndSchema hold the published catalogue to the code.
func TestPageAndSchema(t *testing.T) {
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, got, ok := strings.Cut(string(written), mark)
	if !ok {
		t.Fatalf("%s has no line %s", page, mark)
	}
	expected, err := Page()
	if err != nil {
		t.Fatal(err)
	}
	expectedSchema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	expectedSchema = append(expectedSchema, '\n')
	notices, err := os.ReadFile(noticesPage)
	if err != nil {
		t.Fatal(err)
	}
	above, rest, _ := strings.Cut(string(notices), noticesBegin)
	_, below, ok := strings.Cut(rest, noticesEnd)
	if !ok {
		t.Fatalf("%s has no %s", noticesPage, noticesEnd)
	}
	expectedNotices := above + noticesBegin + NoticesPage() + noticesEnd + below
	if *update {
		if err := os.WriteFile(noticesPage, []byte(expectedNotices), 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(before+mark+"\n"+expected), 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
		if err := os.WriteFile(schema, expectedSchema, 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
		return
	}
	const hint = "run go test ./internal/groupevent -run TestPageAndSchema -update"
	if got != "\n"+expected {
		t.Errorf("%s is out of date; %s", page, hint)
	}
	if string(notices) != expectedNotices {
		t.Errorf("%s is out of date; %s", noticesPage, hint)
	}
	if published, err := os.ReadFile(schema); err != nil || !bytes.Equal(published, expectedSchema) {
		t.Errorf("%s is out of date (%v); %s", schema, err, hint)
	}
}

// TestSchemaNamesWhatEventsHave compares the schema with the fields of the examples.
func TestSchemaNamesWhatEventsHave(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	for _, entry := range catalogue {
		event, err := Example(entry)
		if err != nil {
			t.Fatal(err)
		}
		event.PrevID, event.PrevHash = "before", strings.Repeat("0", 64)
		line, err := event.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var example any
		if err := json.Unmarshal(line, &example); err != nil {
			t.Fatal(err)
		}
		compare(t, string(entry.Type), whole, example)
	}
}

// compare holds a value to the parts of JSON Schema that the schema is made of, except conditions and patterns.
func compare(t *testing.T, path string, schema map[string]any, value any) {
	t.Helper()
	if fixed, ok := schema["const"]; ok && !cmp.Equal(fixed, value) {
		t.Errorf("%s: %v, expected %v", path, value, fixed)
	}
	switch value := value.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, has := value[name.(string)]; !has {
				t.Errorf("%s.%s is required", path, name)
			}
		}
		for name, field := range value {
			property, known := properties[name].(map[string]any)
			if !known && schema["additionalProperties"] == false {
				t.Errorf("%s.%s is not in the schema", path, name)
			}
			if known {
				compare(t, path+"."+name, property, field)
			}
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, item := range value {
			compare(t, fmt.Sprintf("%s[%d]", path, i), items, item)
		}
	}
}
