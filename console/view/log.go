package view

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// EnteredLog is the filter of a log as somebody filled it in, and from where on it is read.
type EnteredLog struct {
	Types                                []string
	Object, Actor, From, Through, Before string
}

// LogFilter returns what the filter of a log selects, and the number before which it is read; 0 for its end. What is wrong with it is by the name of the
// field, and selects all.
func LogFilter(entered *EnteredLog) (filter groupevent.Filter, before uint64, problems map[string]string) {
	problems = map[string]string{}
	for _, kind := range entered.Types {
		if kind != "" && len(kind) <= 64 && len(filter.Types) < len(groupevent.Catalogue()) {
			filter.Types = append(filter.Types, kind)
		}
	}
	filter.Object, filter.Actor = bounded(entered.Object, 253), bounded(entered.Actor, 1024)
	day := func(field, text string) time.Time {
		at, err := time.Parse(time.DateOnly, text)
		if text != "" && err != nil {
			problems[field] = "Write a day as 2026-03-01."
		}
		return at
	}
	if at := day("from", entered.From); !at.IsZero() {
		filter.From = at
	}
	if at := day("through", entered.Through); !at.IsZero() {
		filter.Before = at.AddDate(0, 0, 1)
	}
	before, _ = strconv.ParseUint(entered.Before, 10, 63)
	return filter, before, problems
}

// bounded returns a text of at most so many characters.
func bounded(text string, most int) string {
	text = strings.TrimSpace(text)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most])
}

// Log is a page of the log: events that the filter selects, newest first. next is the number before which the next page is read; 0 if there is none.
func (s *Sight) Log(events []groupevent.Event, entered *EnteredLog, next uint64) page.Log {
	filter, _, problems := LogFilter(entered)
	path := s.Group.Of("log")
	log := page.Log{
		Action: path, Types: page.Choices{Of: eventTypes(filter.Types)}, Object: page.Input{Value: bounded(entered.Object, 253)},
		Actor: page.Input{Value: bounded(entered.Actor, 1024)}, From: page.Input{Value: bounded(entered.From, 10), Error: problems["from"]},
		Through: page.Input{Value: bounded(entered.Through, 10), Error: problems["through"]},
	}
	query := url.Values{}
	for name, value := range map[string]string{"object": log.Object.Value, "actor": log.Actor.Value, "from": log.From.Value, "through": log.Through.Value} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for _, kind := range filter.Types {
		query.Add("type", kind)
	}
	if len(query) > 0 {
		log.Clear = path
	}
	if next > 0 {
		query.Set("before", strconv.FormatUint(next, 10))
		log.Next = path + "?" + query.Encode()
	}
	gone := map[string]bool{}
	for i := range events {
		gone[events[i].Subject.UID] = gone[events[i].Subject.UID] || events[i].Type == groupevent.TypeKeyDeleted ||
			events[i].Type == groupevent.TypeAllowlistDeleted
		log.Entries = append(log.Entries, s.entry(&events[i], gone[events[i].Subject.UID]))
	}
	return log
}

// eventTypes are the types to choose from: all, those of one kind, and each.
func eventTypes(entered []string) []page.Choice {
	choices := []page.Choice{{Text: "all"}, {Value: "key", Text: "keys"}, {Value: "group", Text: "the Group"}, {Value: "allowlist", Text: "allowlists"},
		{Value: "notice", Text: "notices"}}
	for _, entry := range groupevent.Catalogue() {
		choices = append(choices, page.Choice{Value: entry.Type.Short(), Text: typeText(entry.Type)})
	}
	known := slices.ContainsFunc(choices, func(c page.Choice) bool { return slices.Contains(entered, c.Value) })
	if !known {
		entered = []string{""}
	}
	return chosen(choices, entered...)
}

// typeText is a type in words: "Key rotated" for key.rotated.
func typeText(of groupevent.Type) string {
	return strings.TrimSuffix(sentence(strings.NewReplacer(".", " ", "-", " ").Replace(of.Short())), ".")
}

// Values of activity_id of OCSF that begin or end something.
const (
	activityDelete     = 4
	activityActivate   = 10
	activityDeactivate = 11
	activitySuspend    = 12
	medium             = 3
	high               = 4
)

func (s *Sight) entry(e *groupevent.Event, gone bool) page.Entry {
	entry := page.Entry{
		At: e.Time, What: typeText(e.Type), Tone: page.Good, Object: page.Link{Text: e.Subject.Name}, Actor: e.Actor.User,
		Detail: bounded(strings.Join(e.DetailParts(), "\n"), 1000), Impersonal: e.Actor.User == "" && e.Actor.Via == groupevent.ViaKeyward,
	}
	switch {
	case e.Severity >= high, e.Activity == activityDelete, e.Activity == activitySuspend:
		entry.Tone = page.Bad
	case e.Activity == activityDeactivate:
		entry.Tone = page.Off
	case e.Severity >= medium && e.Activity != activityActivate:
		entry.Tone = page.Warn
	}
	if e.Type == groupevent.TypeKeyRevoked {
		entry.Tone = page.Bad
	}
	if entry.Actor == "" && !entry.Impersonal {
		entry.Actor = "unknown"
	}
	if gone {
		return entry
	}
	switch e.Subject.Kind {
	case "ApiKey":
		entry.Object.Href = place.Key{Group: s.Group, Namespace: e.Subject.Namespace, Name: e.Subject.Name}.Of()
	case "DomainAllowlist":
		entry.Object.Href = s.Group.Allowlist(e.Subject.Namespace, e.Subject.Name)
	case "Group":
		entry.Object.Href = s.Group.Of()
	}
	return entry
}
