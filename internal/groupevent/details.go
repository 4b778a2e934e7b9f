package groupevent

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Details is the data of an event in one line, for people.
func (e *Event) Details() string { return strings.Join(e.DetailParts(), " ") }

// DetailParts returns the parts of Details, each about one thing.
func (e *Event) DetailParts() []string {
	var data map[string]json.RawMessage
	if json.Unmarshal(e.Data, &data) != nil {
		return nil
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if name == "changes" {
			parts = append(parts, changeTexts(data[name])...)
			continue
		}
		if name == "codes" {
			parts = append(parts, refusedCodes(data[name])...)
			continue
		}
		if name == "origins" {
			parts = append(parts, refusedOrigins(data[name])...)
			continue
		}
		if name == "generation" {
			continue
		}
		if name == "contacts" {
			parts = append(parts, name+"="+strings.Join(contactNames(data[name]), ","))
			continue
		}
		var text string
		if json.Unmarshal(data[name], &text) != nil {
			text = strings.ReplaceAll(strings.Trim(string(data[name]), "[]"), `"`, "")
		}
		parts = append(parts, name+"="+text)
	}
	return parts
}

// contactNames are the names of contacts.
func contactNames(data json.RawMessage) []string {
	var all []Contact
	if json.Unmarshal(data, &all) != nil {
		return nil
	}
	names := make([]string, 0, len(all))
	for i := range all {
		names = append(names, all[i].Name)
	}
	return names
}

func changeTexts(data json.RawMessage) []string {
	var all []Change
	if json.Unmarshal(data, &all) != nil {
		return nil
	}
	parts := make([]string, 0, len(all))
	for _, change := range all {
		name := strings.TrimPrefix(change.Field, "spec.")
		switch {
		case change.Before == "":
			parts = append(parts, fmt.Sprintf("%s: +%s", name, change.After))
		case change.After == "":
			parts = append(parts, fmt.Sprintf("%s: -%s", name, change.Before))
		default:
			parts = append(parts, fmt.Sprintf("%s: %s → %s", name, change.Before, change.After))
		}
	}
	return parts
}

// refusedCodes returns how many requests were refused with each code.
func refusedCodes(data json.RawMessage) []string {
	var all []RefusedCode
	if json.Unmarshal(data, &all) != nil {
		return nil
	}
	parts := make([]string, 0, len(all))
	for _, of := range all {
		parts = append(parts, fmt.Sprintf("%s: +%d", of.Code, of.Requests))
	}
	return parts
}

// refusedOrigins returns how many requests were refused for each origin.
func refusedOrigins(data json.RawMessage) []string {
	var all []RefusedOrigin
	if json.Unmarshal(data, &all) != nil {
		return nil
	}
	parts := make([]string, 0, len(all))
	for _, of := range all {
		parts = append(parts, fmt.Sprintf("%s: +%d", of.Origin, of.Requests))
	}
	return parts
}
