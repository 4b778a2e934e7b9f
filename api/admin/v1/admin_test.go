package adminv1_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
)

// TestNamesHaveOneCasing: lower camel case with acronyms as words, in all types of the package.
func TestNamesHaveOneCasing(t *testing.T) {
	casing, acronym := regexp.MustCompile(`^[a-z]+([A-Z][a-z]+)*$`), regexp.MustCompile(`(ID|URL|Id[a-z]|_)`)
	seen := map[reflect.Type]bool{}
	var check func(of reflect.Type)
	check = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			check(of.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[of] || !strings.HasSuffix(of.PkgPath(), "/api/admin/v1") {
			return
		}
		seen[of] = true
		for field := range of.Fields() {
			if !field.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !casing.MatchString(name) || acronym.MatchString(name) {
				t.Errorf("%s.%s is %q in JSON", of.Name(), field.Name, name)
			}
			check(field.Type)
		}
	}
	for _, of := range []any{adminv1.VerifyRequest{}, adminv1.Verdict{}, adminv1.Decisions{}, []adminv1.UsageEntry{}, adminv1.KeyUsages{}} {
		check(reflect.TypeOf(of))
	}
	if len(seen) < 8 {
		t.Errorf("only %d types were looked at", len(seen))
	}
	for _, parameter := range []string{
		adminv1.DecisionsRequestID, adminv1.DecisionsKeyID, adminv1.DecisionsCode, adminv1.DecisionsLimit,
		adminv1.UsageGroup, adminv1.UsageKey, adminv1.UsageLimit,
	} {
		if !casing.MatchString(parameter) {
			t.Errorf("the query parameter %q", parameter)
		}
	}
}

// TestVerifyRequestRoundTrip: what a client writes is what the server reads, also a header of one line.
func TestVerifyRequestRoundTrip(t *testing.T) {
	key := adminv1.NewSecret("vctrl_secret")
	text, err := adminv1.VerifyRequest{Key: &key, Method: "GET", Path: "/a", Headers: map[string]adminv1.Secrets{
		"Cookie": {adminv1.NewSecret("a"), adminv1.NewSecret("b")},
	}}.RevealJSON()
	if want := `{"key":"vctrl_secret","headers":{"Cookie":["a","b"]},"method":"GET","path":"/a"}`; err != nil || string(text) != want {
		t.Fatalf("%s, %v", text, err)
	}
	var got adminv1.VerifyRequest
	if err := json.Unmarshal([]byte(`{"key":"vctrl_secret","headers":{"Cookie":["a","b"],"Origin":"c"}}`), &got); err != nil {
		t.Fatal(err)
	}
	if got.Key.Reveal() != "vctrl_secret" || len(got.Headers["Cookie"]) != 2 || got.Headers["Cookie"][1].Reveal() != "b" ||
		got.Headers["Origin"][0].Reveal() != "c" {
		t.Errorf("%+v", got)
	}
	if text := (adminv1.Secret{}).Reveal(); text != "" {
		t.Errorf("the zero Secret is %q", text)
	}
}

// TestSecretsAreNotPrinted: neither a Secret nor a message that has one shows the text when it is printed, nor does an error.
func TestSecretsAreNotPrinted(t *testing.T) {
	key := adminv1.NewSecret("vctrl_secret")
	request := adminv1.VerifyRequest{Key: &key, Headers: map[string]adminv1.Secrets{"Authorization": {key}}}
	var logs strings.Builder
	slog.New(slog.NewTextHandler(&logs, nil)).Info("asked", slog.Any("key", key), slog.Any("request", request))
	printed := fmt.Sprintf("%v %+v %#v %v %+v %#v", key, key, key, request, request, request)
	encoded, _ := json.Marshal(request)
	printed += string(encoded)
	err := json.Unmarshal([]byte(`{"key":{"vctrl_secret":1}}`), &request)
	if strings.Contains(printed+logs.String()+fmt.Sprint(err), "secret") || err == nil {
		t.Errorf("%s\n%s\n%v", printed, logs.String(), err)
	}
}
