package sealedcontext_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

const group = "tenants/acme"

func keyOf(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func ring(t testing.TB, primary string) *sealedcontext.Ring {
	t.Helper()
	r, err := sealedcontext.NewRing(map[string][]byte{"2026": keyOf(1), "2027": keyOf(2)}, primary)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seal(t testing.TB, r *sealedcontext.Ring, name, value string) string {
	t.Helper()
	sealed, err := r.Seal(group, name, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestSealedIsOpened: by every ring that has the key, for the same group and name only, and unless a single character is changed.
func TestSealedIsOpened(t *testing.T) {
	old, rotated := ring(t, "2026"), ring(t, "2027")
	for _, value := range []string{"x", "sk_live_" + strings.Repeat("a", 100), "\x00\xff\r\n", strings.Repeat("m", sealedcontext.MaxValue)} {
		sealed := seal(t, old, "payment", value)
		if got, err := rotated.Open(group, "Payment", sealed); err != nil || string(got) != value {
			t.Fatalf("opened as %q, %v", got, err)
		}
		if len(sealed) > sealedcontext.MaxSealed || strings.Contains(sealed, value) && len(value) > 1 {
			t.Errorf("sealed as %s", sealed)
		}
		for i := range sealed {
			changed := []byte(sealed)
			changed[i] ^= 1
			if got, err := rotated.Open(group, "payment", string(changed)); !errors.Is(err, sealedcontext.ErrSealed) {
				t.Fatalf("with another byte %d: %q, %v", i, got, err)
			}
		}
	}
	sealed := seal(t, old, "payment", "value")
	alone, err := sealedcontext.NewRing(map[string][]byte{"2027": keyOf(2)}, "")
	if err != nil {
		t.Fatal(err)
	}
	imposter, err := sealedcontext.NewRing(map[string][]byte{"2026": keyOf(3)}, "2026")
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"of another group":       func() ([]byte, error) { return old.Open("tenants/globex", "payment", sealed) },
		"of another name":        func() ([]byte, error) { return old.Open(group, "mail", sealed) },
		"group and name shifted": func() ([]byte, error) { return old.Open("tenants/acme\npay", "ment", sealed) },
		"without the key":        func() ([]byte, error) { return alone.Open(group, "payment", sealed) },
		"with another of the id": func() ([]byte, error) { return imposter.Open(group, "payment", sealed) },
		"nothing":                func() ([]byte, error) { return old.Open(group, "payment", "") },
		"no data":                func() ([]byte, error) { return old.Open(group, "payment", "v1.2026.") },
		"of a later version":     func() ([]byte, error) { return old.Open(group, "payment", "v2"+sealed[2:]) },
		"with a line break":      func() ([]byte, error) { return old.Open(group, "payment", sealed[:20]+"\n"+sealed[20:]) },
		"with padding":           func() ([]byte, error) { return old.Open(group, "payment", sealed+"=") },
		"longer than any": func() ([]byte, error) {
			return old.Open(group, "payment", sealed+strings.Repeat("A", sealedcontext.MaxSealed))
		},
		"a value that is not sealed": func() ([]byte, error) { return old.Open(group, "payment", "value") },
	} {
		if got, err := open(); !errors.Is(err, sealedcontext.ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestSealingIsStable: what has not changed is sealed to the same text, and everything else to another one, with another nonce.
func TestSealingIsStable(t *testing.T) {
	base := seal(t, ring(t, "2026"), "payment", "value")
	if again := seal(t, ring(t, "2026"), "payment", "value"); again != base {
		t.Errorf("%s, and then %s", base, again)
	}
	elsewhere, err := ring(t, "2026").Seal("tenants/globex", "payment", []byte("value"))
	if err != nil {
		t.Fatal(err)
	}
	nonces := map[string]bool{}
	for _, sealed := range []string{
		base, seal(t, ring(t, "2027"), "payment", "value"), seal(t, ring(t, "2026"), "mail", "value"), seal(t, ring(t, "2026"), "payment", "value2"), elsewhere,
	} {
		data, err := base64.RawURLEncoding.DecodeString(sealed[strings.LastIndexByte(sealed, '.')+1:])
		if err != nil {
			t.Fatal(err)
		}
		nonces[string(data[:12])] = true
	}
	if len(nonces) != 5 {
		t.Errorf("%d nonces of 5", len(nonces))
	}
	for _, value := range []string{"", strings.Repeat("x", sealedcontext.MaxValue+1)} {
		if sealed, err := ring(t, "2026").Seal(group, "payment", []byte(value)); err == nil || strings.Contains(err.Error(), "xx") {
			t.Errorf("%d bytes are sealed as %q, %v", len(value), sealed, err)
		}
	}
	if _, err := ring(t, "").Seal(group, "payment", []byte("x")); err == nil {
		t.Error("sealed without a primary key")
	}
}

func TestRings(t *testing.T) {
	text := base64.StdEncoding.EncodeToString(keyOf(0xfb))
	for name, test := range map[string]struct {
		files map[string]string
		seals string // the id of the key that seals; empty if none does
		fails string
	}{
		"one key":                      {files: map[string]string{"a": text}, seals: "a"},
		"as it is":                     {files: map[string]string{"a": string(keyOf(0xfb))}, seals: "a"},
		"base64url, and a line break":  {files: map[string]string{"a": base64.RawURLEncoding.EncodeToString(keyOf(0xfb)) + "\n"}, seals: "a"},
		"the primary one":              {files: map[string]string{"a": text, "b": text, "primary": "b\n"}, seals: "b"},
		"two, and none is primary":     {files: map[string]string{"a": text, "b": text}},
		"what a kubelet adds":          {files: map[string]string{"a": text, "..data": "x"}, seals: "a"},
		"none":                         {fails: "there is no key"},
		"a primary one that is absent": {files: map[string]string{"a": text, "primary": "c"}, fails: `primary key "c" is not there`},
		"too short":                    {files: map[string]string{"a": text[4:]}, fails: `key "a": it has`},
		"too long":                     {files: map[string]string{"a": strings.Repeat(text, 9)}, fails: "a: it is no key"},
		"an id with a dot":             {files: map[string]string{"a.b": text}, fails: `key "a.b": an id has`},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			for file, content := range test.files {
				if err := os.WriteFile(filepath.Join(directory, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := sealedcontext.ReadRing(directory)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) || strings.Contains(err.Error(), text[4:20]) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if sealed, err := r.Seal(group, "x", []byte("x")); (err == nil) != (test.seals != "") ||
				err == nil && !strings.HasPrefix(sealed, "v1."+test.seals+".") || r.Primary() != test.seals {
				t.Errorf("sealed as %q, %v", sealed, err)
			}
		})
	}
	if _, err := sealedcontext.ReadRing(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestOpenHeader(t *testing.T) {
	r, header := ring(t, "2026"), http.Header{}
	header.Set("x-keyward-group", group)
	header.Set("x-keyward-sealed-paymentKey", seal(t, r, "paymentKey", "value"))
	if got, err := r.OpenHeader(header, "paymentKey"); err != nil || string(got) != "value" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := r.OpenHeader(header, "mail"); !errors.Is(err, sealedcontext.ErrSealed) {
		t.Errorf("absent: %v", err)
	}
	header.Add("X-Keyward-Group", "tenants/globex")
	if _, err := r.OpenHeader(header, "paymentKey"); !errors.Is(err, sealedcontext.ErrSealed) {
		t.Errorf("of two groups: %v", err)
	}
}

// TestNodeOpens: the example in JavaScript opens what Go has sealed, and refuses what Go refuses.
func TestNodeOpens(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("KEYWARD_READERS") == "all" {
			t.Fatal(err)
		}
		t.Skip("node is not installed")
	}
	directory := t.TempDir()
	for file, content := range map[string]string{"2026": base64.StdEncoding.EncodeToString(keyOf(1)) + "\n", "2027": string(keyOf(2))} {
		if err := os.WriteFile(filepath.Join(directory, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type request struct {
		Headers map[string]string `json:"headers"`
		Name    string            `json:"name"`
	}
	old, rotated := seal(t, ring(t, "2026"), "payment", "sk_live\x00ü"), seal(t, ring(t, "2027"), "mailKey", strings.Repeat("m", sealedcontext.MaxValue))
	requests := []request{
		{map[string]string{"x-keyward-group": group, "x-keyward-sealed-payment": old}, "payment"},
		{map[string]string{"x-keyward-group": group, "x-keyward-sealed-mailkey": rotated}, "mailKey"},
		{map[string]string{"x-keyward-group": "tenants/globex", "x-keyward-sealed-payment": old}, "payment"},
		{map[string]string{"x-keyward-group": group, "x-keyward-sealed-mail": old}, "mail"},
		{map[string]string{"x-keyward-group": group, "x-keyward-sealed-payment": "v1.absent" + old[7:]}, "payment"},
		{map[string]string{"x-keyward-group": group, "x-keyward-sealed-payment": old[:len(old)-4]}, "payment"},
		{map[string]string{"x-keyward-group": group, "x-keyward-sealed-payment": "v1.2026.AAAA"}, "payment"},
		{map[string]string{"x-keyward-group": group}, "payment"},
		{map[string]string{"x-keyward-sealed-payment": old}, "payment"},
	}
	var lines bytes.Buffer
	for _, r := range requests {
		if err := json.NewEncoder(&lines).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "main.mjs"))
	cmd.Stdin, cmd.Stderr, cmd.Env = &lines, os.Stderr, append(os.Environ(), "SEALED_CONTEXT_KEYS="+directory)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	ours := ring(t, "2026")
	answers := bufio.NewScanner(bytes.NewReader(out))
	for i, r := range requests {
		var answer struct {
			Value []byte
			Error string
		}
		if !answers.Scan() || json.Unmarshal(answers.Bytes(), &answer) != nil {
			t.Fatalf("no answer to request %d: %s", i, out)
		}
		header := http.Header{}
		for name, value := range r.Headers {
			header.Set(name, value)
		}
		want, err := ours.OpenHeader(header, r.Name)
		if (err != nil) != (answer.Error != "") || !bytes.Equal(answer.Value, want) || (i < 2) != (err == nil) {
			t.Errorf("request %d: node has %q, %s; Go has %q, %v", i, answer.Value, answer.Error, want, err)
		}
	}
}

// TestGoOpens: the example in Go opens what was sealed, and refuses anything else.
func TestGoOpens(t *testing.T) {
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "2026"), keyOf(1), 0o600); err != nil {
		t.Fatal(err)
	}
	handler := charge(directory, func(w http.ResponseWriter, _ *http.Request, key string) { _, _ = io.WriteString(w, "paid with "+key) })
	for of, want := range map[string]string{group: "200 paid with sk_live", "tenants/globex": "502 no payment key\n"} {
		request, response := httptest.NewRequest(http.MethodPost, "/charge", http.NoBody), httptest.NewRecorder()
		request.Header.Set("X-Keyward-Group", of)
		request.Header.Set("X-Keyward-Sealed-Paymentkey", seal(t, ring(t, "2026"), "paymentKey", "sk_live"))
		handler(response, request)
		if got := fmt.Sprint(response.Code, " ", response.Body); got != want {
			t.Errorf("of %s: %q, want %q", of, got, want)
		}
	}
}

// TestPageHasTheExamples: the examples that are tested are those of the page.
func TestPageHasTheExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/how-to/sealed-context.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"testdata/open.mjs", "example_test.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		example := string(text)
		if _, from, is := strings.Cut(example, "// charge answers"); is {
			example = "// charge answers" + from
		}
		if !strings.Contains(string(page), strings.ReplaceAll(example, "\t", "    ")) {
			t.Errorf("the page lacks %s as it is, with four spaces for a tab", file)
		}
	}
}

// FuzzOpen: nothing is opened but what was sealed.
func FuzzOpen(f *testing.F) {
	r := ring(f, "2026")
	sealed := seal(f, r, "payment", "value")
	for _, seed := range []string{sealed, "", "v1..", "v1.2026.", "v1.2027" + sealed[7:], sealed + ".", strings.ToUpper(sealed), sealed + sealed} {
		f.Add(group, "payment", seed)
	}
	f.Add("", "", sealed)
	f.Fuzz(func(t *testing.T, of, name, text string) {
		value, err := r.Open(of, name, text)
		if err != nil {
			if !errors.Is(err, sealedcontext.ErrSealed) || value != nil || strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("%q, %v", value, err)
			}
			return
		}
		if string(value) != "value" || of != group || !strings.EqualFold(name, "payment") || text != sealed {
			t.Fatalf("opened %q of %q, %q as %q", text, of, name, value)
		}
	})
}
