package urltoken

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

const key = "vctrl_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg"

func mint(t testing.TB) string {
	t.Helper()
	minted, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return minted.Reveal()
}

var claims = rapid.Custom(func(t *rapid.T) Claims {
	return Claims{
		Project: rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(t, "project"),
		Path:    rapid.StringMatching(`/[!-"$->@-~]{0,40}`).Draw(t, "path"),
		Expires: time.Unix(rapid.Int64Range(1, 1<<40).Draw(t, "expires"), 0).UTC(),
		Methods: rapid.SampledFrom([][]string{{"GET", "HEAD"}, {"POST"}, {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}}).Draw(t, "methods"),
		Origin:  rapid.StringMatching(`(https?://[a-z0-9.:-]{1,30})?`).Draw(t, "origin"),
	}
})

// TestSignedIsRead: what was signed is read again, and is verified with the secret of that key alone.
func TestSignedIsRead(t *testing.T) {
	mine, others := mint(t), mint(t)
	secret, err := Derive(mine)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Derive(others)
	if err != nil {
		t.Fatal(err)
	}
	digest := keyformat.DigestOf(mine)
	rapid.Check(t, func(t *rapid.T) {
		want := claims.Draw(t, "claims")
		text, err := Sign(mine, want)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > MaxText || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("%q does not fit into a query", text)
		}
		token, err := Parse(text)
		if err != nil || token.ID() != IDOf(digest) {
			t.Fatalf("%v, of %x", err, token.ID())
		}
		if got, ok := token.Verify(secret); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		for _, wrong := range [][]byte{other, digest[:], nil, secret[:31], make([]byte, 32)} {
			if got, ok := token.Verify(wrong); ok || got.Project != "" {
				t.Fatal("verified with another secret")
			}
		}
	})
}

// TestAnyChangeIsRefused changes each character of a token, and each bit of its bytes.
func TestAnyChangeIsRefused(t *testing.T) {
	mine := mint(t)
	secret, err := Derive(mine)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Sign(mine, Claims{Project: "marketing", Path: "/videos/", Expires: time.Unix(1_800_000_000, 0), Origin: "https://a.example"})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(changed string) {
		if changed == text {
			return
		}
		token, err := Parse(changed)
		if err != nil {
			return
		}
		if _, ok := token.Verify(secret); ok {
			t.Errorf("%q is accepted for %q", changed, text)
		}
	}
	for i := range len(text) {
		for c := range 256 {
			refused(text[:i] + string([]byte{byte(c)}) + text[i+1:])
		}
		refused(text[:i])
		refused(text[i:])
		refused(text[:i] + text[i+1:])
		refused(text[:i] + "\n" + text[i:])
	}
	for _, end := range []string{"=", "A", "\n", "\r\n", " ", ".", "AAAA"} {
		refused(text + end)
	}
	data, err := encoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(data) {
		data[i/8] ^= 1 << (i % 8)
		refused(encoding.EncodeToString(data))
		data[i/8] ^= 1 << (i % 8)
	}
}

func TestWhatCannotBeSigned(t *testing.T) {
	mine := mint(t)
	good := Claims{Project: "marketing", Path: "/", Expires: time.Unix(1_800_000_000, 0)}
	if _, err := Sign(mine, good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Claims){
		"no project":            func(c *Claims) { c.Project = "" },
		"a project in capitals": func(c *Claims) { c.Project = "Marketing" },
		"a long project":        func(c *Claims) { c.Project = strings.Repeat("a", 64) },
		"no path":               func(c *Claims) { c.Path = "" },
		"a relative path":       func(c *Claims) { c.Path = "videos" },
		"a query":               func(c *Claims) { c.Path = "/videos?x" },
		"a fragment":            func(c *Claims) { c.Path = "/videos#x" },
		"a space":               func(c *Claims) { c.Path = "/my videos" },
		"a long path":           func(c *Claims) { c.Path = "/" + strings.Repeat("a", 1024) },
		"no expiry":             func(c *Claims) { c.Expires = time.Time{} },
		"another method":        func(c *Claims) { c.Methods = []string{"GET", "TRACE"} },
		"a method in lower":     func(c *Claims) { c.Methods = []string{"get"} },
		"an origin with a path": func(c *Claims) { c.Origin = "https://a.example/" },
		"an opaque origin":      func(c *Claims) { c.Origin = "null" },
		"two origins":           func(c *Claims) { c.Origin = "https://a.example,https://b.example" },
	} {
		changed := good
		change(&changed)
		if token, err := Sign(mine, changed); err == nil {
			t.Errorf("%s is signed: %s", name, token)
		}
	}
	for _, text := range []string{"", "secret", key, mine[1:], mine + "x"} {
		if _, err := Sign(text, good); !errors.Is(err, ErrKey) {
			t.Errorf("signed with %q: %v", text, err)
		}
	}
}

// TestKnownAnswer holds the format: other implementations have the same values.
func TestKnownAnswer(t *testing.T) {
	text := knownKey(t)
	secret, err := Derive(text)
	if err != nil {
		t.Fatal(err)
	}
	const wantSecret = "7b71c5f2af2d753a26e873d08c6618e559ddda9f1778d37369df828ed10d4556"
	token, err := Sign(text, Claims{Project: "marketing", Path: "/videos/", Expires: time.Unix(1_800_000_000, 0),
		Origin: "https://www.acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	const wantToken = "AVT5nCMvizCbaW_KqMndgngAAAAAa0nSAAMJbWFya2V0aW5nAAgvdmlkZW9zLxhodHRwczovL3d3dy5hY21lLmV4YW1wbGWHAR_JBtj8hICFSIsYUkB7v28hN3dN3qi7ZDkWwN3E7Q"
	if got := hex.EncodeToString(secret); got != wantSecret || token != wantToken {
		t.Errorf("key %s\nsecret %s\ntoken %s", text, got, token)
	}
}

// knownKey is minted from bytes 0 to 31.
func knownKey(t *testing.T) string {
	t.Helper()
	var counting [32]byte
	for i := range counting {
		counting[i] = byte(i)
	}
	minted, err := keyformat.Mint("kw", strings.NewReader(string(counting[:])))
	if err != nil {
		t.Fatal(err)
	}
	return minted.Reveal()
}

func TestAddAndCut(t *testing.T) {
	for url, want := range map[string]string{
		"https://a.example/x":                              "https://a.example/x?keyward-token=T",
		"https://a.example/x?":                             "https://a.example/x?keyward-token=T",
		"https://a.example/x?b=1&b=%20#top":                "https://a.example/x?b=1&b=%20&keyward-token=T#top",
		"https://a.example/x?keyward-token=old&b=1":        "https://a.example/x?b=1&keyward-token=T",
		"/x?my-keyward-token=1":                            "/x?my-keyward-token=1&keyward-token=T",
		"/x?keyward-token=old&keyward-token=older&keyward": "/x?keyward&keyward-token=T",
	} {
		got, err := Add(url, "T")
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", url, got, err, want)
		}
	}
	if got, err := Add("/a b", "T"); err == nil {
		t.Errorf("got %q", got)
	}
	for query, want := range map[string]string{
		"": "|0", "a=1&b": "a=1&b|0", "keyward-token=T": "T|1", "a=1&keyward-token=T&b": "Ta=1&b|1", "keyward-token=T&keyward-token=T": "|2",
		"keyward-token": "keyward-token|0", "Keyward-Token=T": "Keyward-Token=T|0", "keyward%2Dtoken=T": "keyward%2Dtoken=T|0",
		"x=keyward-token=T": "x=keyward-token=T|0", "a&&keyward-token=T&": "Ta&&|1", "keyward-token=": "|1", "a;keyward-token=T": "a;keyward-token=T|0",
	} {
		token, rest, count := Cut(query)
		if got := fmt.Sprintf("%s%s|%d", token, rest, count); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

func TestTokenIsNotPrinted(t *testing.T) {
	text, err := Sign(mint(t), Claims{Project: "marketing", Path: "/secret-place", Expires: time.Unix(1_800_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	within := struct{ Token *Token }{token}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{token, within, &within} {
			if printed := fmt.Sprintf(verb, value); strings.Contains(printed, "secret-place") {
				t.Errorf("%s prints %s", verb, printed)
			}
		}
	}
}

// FuzzParse: what is read is bounded, has one text only, and is read again.
func FuzzParse(f *testing.F) {
	text, err := Sign(mint(f), Claims{Project: "marketing", Path: "/videos/", Expires: time.Unix(1_800_000_000, 0), Origin: "https://a.example"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", text, text[:len(text)-1], text + "=", strings.Repeat("A", MaxText), strings.Repeat("A", MaxText+1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err != nil {
			if token != nil {
				t.Fatal("an error and a token")
			}
			return
		}
		payload, err := token.claims.encode(token.id)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if again := encoding.EncodeToString(append(payload, token.sum[:]...)); again != text || len(token.payload)+sha256.Size != len(text)*6/8 {
			t.Fatalf("%q has the text %q, too", text, again)
		}
	})
}

// FuzzCut: the rest has no token, and nothing else is lost.
func FuzzCut(f *testing.F) {
	for _, seed := range []string{"", "a=1", "keyward-token=T", "a&keyward-token=T&b&keyward-token=U"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		token, rest, count := Cut(query)
		if _, again, left := Cut(rest); left != 0 || again != rest || token != "" && count != 1 || len(rest) > len(query) {
			t.Fatalf("%q: %q, %q, %d", query, token, rest, count)
		}
		if count == 0 && rest != query {
			t.Fatalf("%q became %q", query, rest)
		}
	})
}
