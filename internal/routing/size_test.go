package routing

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestSizeIsProportionalToMemory: compiled routes of the greatest size that a Group may have take at most a few times
// as much memory, however the size is divided.
func TestSizeIsProportionalToMemory(t *testing.T) {
	const most = 8 // times the size
	of := func(n int, text string) (texts []string) {
		for range n {
			texts = append(texts, text)
		}
		return texts
	}
	for name, route := range map[string]Route{
		"short literals":      {Paths: of(32, "/b")},
		"short patterns":      {Paths: of(32, "/*b")},
		"uppercase patterns":  {Paths: of(32, "/*B")},
		"ends in a slash":     {Paths: of(32, "/*B/")},
		"files":               {Paths: of(32, "/*.B")},
		"one short literal":   {Paths: of(1, "/b")},
		"many segments":       {Paths: of(1, strings.Repeat("/*", 511))},
		"segments of letters": {Paths: of(1, "/*"+strings.Repeat("/A", 511))},
		"many stars":          {Paths: of(1, "/"+strings.Repeat("*A", 511))},
		"long literals":       {Paths: of(32, "/"+strings.Repeat("a", 1000))},
		"hosts":               {Hosts: of(32, "*.b")},
		"methods":             {Methods: of(16, "A")},
		"one value":           {Query: map[string][]string{"a": {"b"}}},
		"values":              {Query: map[string][]string{"a": of(32, "b")}},
	} {
		n := MaxSize / route.Size()
		kept := make([]Matcher, n)
		before := heap()
		for i := range kept {
			fresh := Route{Query: map[string][]string{}}
			for _, list := range []struct{ to, from *[]string }{{&fresh.Paths, &route.Paths},
				{&fresh.Hosts, &route.Hosts}, {&fresh.Methods, &route.Methods}} {
				for _, text := range *list.from {
					*list.to = append(*list.to, strings.Clone(text))
				}
			}
			for name, values := range route.Query {
				fresh.Query[fmt.Sprint(name)] = values
			}
			kept[i] = mustCompile(t, fresh)
		}
		grown := heap() - before
		t.Logf("%s: %d routes hold %.1f times their size", name, n, float64(grown)/MaxSize)
		if grown > most*MaxSize {
			t.Errorf("%s: %d routes hold %d bytes, for a size of %d", name, n, grown, n*route.Size())
		}
		runtime.KeepAlive(kept)
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		route Route
		want  int
	}{
		{Route{}, routeSize},
		{Route{Paths: []string{"/ab"}}, routeSize + pathSize + 3},
		{Route{Paths: []string{"/ab/"}}, routeSize + 2*(pathSize+4)},
		{Route{Paths: []string{"/a.b"}}, routeSize + 2*pathSize + 4},
		{Route{Paths: []string{"/a.b/"}}, routeSize + 2*(pathSize+5)},
		{Route{Paths: []string{"/a.b/**"}}, routeSize + pathSize + 7 + 2*starSize},
		{Route{Paths: []string{"/a/*b/c/**"}}, routeSize + pathSize + 10 + 3*starSize + 2*segmentSize},
		{Route{Hosts: []string{"h"}, Methods: []string{"GET"}}, routeSize + 2*textSize + 4},
		{Route{Query: map[string][]string{"a": {"b", "cc"}}}, routeSize + parameterSize + 1 + 2*textSize + 3},
	} {
		if got := c.route.Size(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.route, got, c.want)
		}
	}
}
