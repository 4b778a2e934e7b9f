package groupevent

import (
	"testing"
	"time"
)

func TestFilter(t *testing.T) {
	at := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	event := &Event{Type: TypeKeyRotated, Time: at, Subject: Subject{Kind: kindKey, Name: "web"}, Actor: Actor{User: "jane"}}
	for name, c := range map[string]struct {
		filter Filter
		want   bool
	}{
		"all":               {Filter{}, true},
		"short type":        {Filter{Types: []string{"group", "key.rotated"}}, true},
		"full type":         {Filter{Types: []string{string(TypeKeyRotated)}}, true},
		"begin of a type":   {Filter{Types: []string{"key"}}, true},
		"part of a word":    {Filter{Types: []string{"ke", "key.rot", "key."}}, false},
		"another type":      {Filter{Types: []string{"key.revoked"}}, false},
		"object":            {Filter{Object: "web"}, true},
		"another object":    {Filter{Object: "we"}, false},
		"kind":              {Filter{Kind: kindKey, Object: "web"}, true},
		"another kind":      {Filter{Kind: kindGroup, Object: "web"}, false},
		"actor":             {Filter{Actor: "jane"}, true},
		"another actor":     {Filter{Actor: "Jane"}, false},
		"from that instant": {Filter{From: at}, true},
		"later":             {Filter{From: at.Add(1)}, false},
		"before":            {Filter{Before: at.Add(1)}, true},
		"too late":          {Filter{Before: at}, false},
	} {
		if got := c.filter.Selects(event); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
