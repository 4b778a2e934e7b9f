package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestLines: any number of lines make the same header, also after a reset.
func TestLines(t *testing.T) {
	var l Lines
	rapid.Check(t, func(t *rapid.T) {
		want := http.Header{}
		for i := range rapid.IntRange(0, 2*usualLines).Draw(t, "lines") {
			name, value := rapid.SampledFrom([]string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"}).Draw(t,
				"name"), fmt.Sprint(i)
			l.Add(name, value)
			want.Add(name, value)
		}
		if !maps.EqualFunc(l.Header, want, slices.Equal) {
			t.Fatalf("got %v, want %v", l.Header, want)
		}
		l.Reset()
		if len(l.Header) > 0 || l.used > 0 || l.values != [usualLines]string{} {
			t.Fatalf("left: %v %q", l.Header, l.values)
		}
	})
}

// TestKeysAreNotShown by the types that hold them on their way.
func TestKeysAreNotShown(t *testing.T) {
	var l Lines
	l.Add("Authorization", "Bearer key-text")
	q := FastRequest{Header: l.Header}
	type within struct{ FastRequest }
	for _, v := range []any{l, &l, q, &q, within{q}, &within{q}} {
		var logged bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewJSONHandler(&logged, nil), slog.NewTextHandler(&logged, nil)} {
			slog.New(handler).Info("test", slog.Any("value", v))
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		if text := fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v) + logged.String() + string(encoded); strings.Contains(text,
			"key-text") || !strings.Contains(text, secretText) {
			t.Errorf("%T is shown as %s", v, text)
		}
	}
}

func TestNames(t *testing.T) {
	names := NewNames("Authorization", "X-Api-Key", "X-Real-Ip")
	for name, want := range map[string]string{"authorization": "Authorization", "X-API-KEY": "X-Api-Key",
		"x-real-ip": "X-Real-Ip", "": "", "x-api_key": "", strings.Repeat("x", maxName+1): ""} {
		if got := names.Find(name); got != want {
			t.Errorf("%q is %q", name, got)
		}
	}
}
