package groupevent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Example returns an example of a type, as the only event of a log.
func Example(entry Entry) (Event, error) {
	subject := Subject{Kind: entry.Kind, Namespace: "tenants", Name: "acme-web", UID: "5a0c2f0e-1f5e-4a53-8d6f-6f3a0f4c9d10"}
	group := Group{Namespace: "tenants", Name: "acme", UID: "0b9e7c52-77a4-4b0e-9a55-1c7f6f0e2a31"}
	if entry.Kind == kindGroup {
		subject.Name, subject.UID = group.Name, group.UID
	}
	if entry.Kind == kindRequest {
		subject.Namespace, subject.UID = "shop", "7c7e2f0a-3b67-4d53-9d0e-2b8b6a0f1c55"
	}
	at := time.Date(2026, time.November, 27, 8, 0, 0, 0, time.UTC)
	event, err := New(group, entry.Type, subject.UID+"/"+entry.Type.Short(), at, subject, entry.By, entry.Example)
	if err != nil {
		return Event{}, err
	}
	return Append(Head{}, event)
}

// Page returns the generated part of the page about events.
func Page() (string, error) {
	var page strings.Builder
	page.WriteString("| Type | What has happened | Its time is that |\n|---|---|---|\n")
	for _, entry := range catalogue {
		short := entry.Type.Short()
		fmt.Fprintf(&page, "| [`%s`](#%s) | %s | %s |\n", short, strings.ReplaceAll(short, ".", ""), entry.Meaning, entry.Time)
	}
	for _, entry := range catalogue {
		event, err := Example(entry)
		if err != nil {
			return "", err
		}
		line, err := event.Encode()
		if err != nil {
			return "", err
		}
		var example bytes.Buffer
		if err := json.Indent(&example, line, "", "  "); err != nil {
			return "", fmt.Errorf("indenting the example of %s: %w", entry.Type, err)
		}
		fmt.Fprintf(&page, "\n### %s\n\n`%s`: %s.\n\n", entry.Type.Short(), entry.Type, entry.Meaning)
		writeFields(&page, reflect.TypeOf(entry.Example), "")
		fmt.Fprintf(&page, "\n```json\n%s\n```\n", example.String())
	}
	return page.String(), nil
}

// NoticesPage returns the generated part of the page about notices: what somebody should look at.
func NoticesPage() string {
	severities := map[int]string{informational: "informational", low: "low", medium: "medium", high: "high"}
	var page strings.Builder
	page.WriteString("| Type | Severity | What it is about | Its time is that |\n|---|---|---|---|\n")
	for _, entry := range catalogue {
		if Matches(NoticePattern, string(entry.Type)) || entry.Type == TypeKeyLeaked {
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", entry.Type, severities[entry.Severity], entry.Meaning, entry.Time)
		}
	}
	return page.String()
}

func writeFields(page *strings.Builder, of reflect.Type, path string) {
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fmt.Fprintf(page, "- `%s%s` %s\n", path, name, field.Tag.Get("doc"))
		if field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct {
			writeFields(page, field.Type.Elem(), path+name+"[].")
		}
	}
}
