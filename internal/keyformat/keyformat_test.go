package keyformat

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// example is the key of 32 zero bytes; a change of the format must change this line.
const example = "vctrl_0000000000000000000000000000000000000000000"

func mustMint(t testing.TB) Key {
	t.Helper()
	key, err := Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestMintIsTheDocumentedFormat(t *testing.T) {
	for name, secret := range map[string][]byte{
		"zero": make([]byte, 32),
		"max":  bytes.Repeat([]byte{0xff}, 32),
		"one":  append(make([]byte, 31), 1),
	} {
		t.Run(name, func(t *testing.T) {
			key, err := Mint("vctrl", bytes.NewReader(secret))
			if err != nil {
				t.Fatal(err)
			}
			body := base62(new(big.Int).SetBytes(secret), 43)
			sum := base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte("vctrl_"+body)))), 6)
			if want := "vctrl_" + body + sum; key.Reveal() != want {
				t.Errorf("got %s, want %s", key.Reveal(), want)
			}
		})
	}
	if got := base62(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)), 43); got != maxBody {
		t.Errorf("maxBody is %s, want %s", maxBody, got)
	}
}

// base62 is the slow and obvious encoder.
func base62(n *big.Int, width int) string {
	var digits []byte
	for rest, digit := new(big.Int).Set(n), new(big.Int); len(digits) < width; {
		rest.DivMod(rest, big.NewInt(62), digit)
		digits = append([]byte{alphabet[digit.Int64()]}, digits...)
	}
	return string(digits)
}

func TestParseRefuses(t *testing.T) {
	zero, _ := Mint("vctrl", bytes.NewReader(make([]byte, 32)))
	valid := zero.Reveal()
	if !strings.HasPrefix(valid, example) {
		t.Fatalf("the key of zero bytes is %s", valid)
	}
	withSum := func(s string) string { sum := checksum(s); return s + string(sum[:]) }
	aboveMax := maxBody[:42] + "2"
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":                  {"", ErrShape},
		"only a separator":       {"_", ErrShape},
		"no prefix":              {valid[5:], ErrShape},
		"prefix of one":          {withSum("v" + example[5:]), ErrShape},
		"prefix of seventeen":    {withSum(strings.Repeat("v", 17) + example[5:]), ErrShape},
		"upper-case prefix":      {withSum("Vctrl" + example[5:]), ErrShape},
		"digit first":            {withSum("1ctrl" + example[5:]), ErrShape},
		"other separator":        {strings.Replace(valid, "_", "-", 1), ErrShape},
		"two separators":         {withSum("v_trl" + example[5:]), ErrShape},
		"cut off":                {valid[:len(valid)-1], ErrShape},
		"one more":               {valid + "0", ErrShape},
		"space before":           {" " + valid, ErrShape},
		"newline after":          {valid + "\n", ErrShape},
		"not base62":             {valid[:20] + "-" + valid[21:], ErrShape},
		"not ASCII":              {valid[:20] + "é" + valid[22:], ErrShape},
		"body of 2^256":          {withSum("vctrl_" + aboveMax), ErrRange},
		"body of all z":          {withSum("vctrl_" + strings.Repeat("z", 43)), ErrRange},
		"wrong checksum":         {valid[:len(valid)-1] + string(valid[len(valid)-1]^1), ErrChecksum},
		"checksum not canonical": {example + "zzzzzz", ErrChecksum},
		"other prefix":           {"other" + valid[5:], ErrChecksum},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := Parse(c.text)
			if !errors.Is(err, c.want) || !key.IsZero() {
				t.Errorf("got %v, %v, want %v", key, err, c.want)
			}
			if WellFormed(c.text) {
				t.Error("WellFormed says yes")
			}
		})
	}
}

func TestMintRefuses(t *testing.T) {
	for _, prefix := range []string{"", "a", "A1", "1a", "a_b", "a-b", "é1", strings.Repeat("a", 17), "ab\n"} {
		if _, err := Mint(prefix, rand.Reader); !errors.Is(err, ErrPrefix) {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	if _, err := Mint("vctrl", bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a key from 31 bytes")
	}
}

func TestEveryMintedKeyParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringMatching(PrefixPattern).Draw(t, "prefix")
		secret := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")
		key, err := Mint(prefix, bytes.NewReader(secret))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(key.Reveal())
		if err != nil || again.Reveal() != key.Reveal() || again.Prefix() != prefix || !WellFormed(key.Reveal()) {
			t.Fatalf("%s: %v", key.Reveal(), err)
		}
		if again.Digest() != DigestOf(key.Reveal()) {
			t.Fatal("another digest")
		}
	})
}

func TestOneChangedCharacterIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, _ := Mint("vctrl", bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")))
		text := []byte(key.Reveal())
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		was := text[at]
		text[at] = rapid.Byte().Filter(func(b byte) bool { return b != was }).Draw(t, "byte")
		if WellFormed(string(text)) {
			t.Fatalf("%s accepted for %s", text, key.Reveal())
		}
	})
}

func TestNothingPrintsAKey(t *testing.T) {
	key := mustMint(t)
	secret := key.Reveal()[len("vctrl_"):40]
	type holder struct {
		Public  Key
		private Key
		pointer *Key
		list    []Key
		any     any
	}
	inner := holder{key, key, &key, []Key{key}, key}
	var logs bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&logs, nil), slog.NewTextHandler(&logs, nil)} {
		slog.New(handler).Info("key", "key", key, "inner", inner, "pointer", &key)
	}
	printed := map[string]string{"slog": logs.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%!", "%10.3s"} {
		printed[verb] = fmt.Sprintf(verb, key) + fmt.Sprintf(verb, inner) + fmt.Sprintf(verb, &inner) + fmt.Sprintf(verb, []any{inner})
	}
	encoded, err := json.Marshal(map[string]any{"key": key, "inner": inner})
	if err != nil {
		t.Fatal(err)
	}
	printed["json"] = string(encoded)
	printed["json key"] = func() string { b, _ := json.Marshal(map[Key0]Key{{}: key}); return string(b) }()
	printed["error"] = fmt.Errorf("with %v and %w", key, ErrShape).Error()
	for how, text := range printed {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) ||
			strings.Contains(text, fmt.Sprintf("%X", secret)) {
			t.Errorf("%s shows the key: %s", how, text)
		}
	}
	if got, want := fmt.Sprint(key), "vctrl_…"+key.Reveal()[len(key.Reveal())-4:]; got != want {
		t.Errorf("preview %s, want %s", got, want)
	}
	if got := fmt.Sprintf("%v|%s|%d", Key{}, Key{}.Reveal(), len(Key{}.Prefix())); got != "||0" {
		t.Errorf("zero key prints %s", got)
	}
}

// Key0 stands in for a Key as the key of a map, since a Key is not comparable.
type Key0 struct{ A int }

// MarshalText makes Key0 a valid key of a JSON object.
func (Key0) MarshalText() ([]byte, error) { return []byte("k"), nil }

func TestDigest(t *testing.T) {
	const abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, B.1
	d := DigestOf("abc")
	if d.String() != abc {
		t.Errorf("got %s", d)
	}
	if again, err := ParseDigest(abc); err != nil || again != d {
		t.Errorf("got %v, %v", again, err)
	}
	for _, s := range []string{"", abc[7:], strings.ToUpper(abc), abc[:70], abc + "0", "sha256:" + strings.Repeat("g", 64)} {
		if _, err := ParseDigest(s); !errors.Is(err, ErrDigest) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestWellFormedDoesNotAllocate(t *testing.T) {
	text := mustMint(t).Reveal()
	if n := testing.AllocsPerRun(100, func() { WellFormed(text); DigestOf(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(mustMint(f).Reveal())
	f.Add(example)
	f.Add("vctrl_" + maxBody + "000000")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := Parse(text)
		if WellFormed(text) != (err == nil) {
			t.Fatal("Parse and WellFormed disagree")
		}
		if err != nil {
			if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Fatal("the error holds the text")
			}
			return
		}
		if key.Reveal() != text || !prefixPattern.MatchString(key.Prefix()) {
			t.Fatalf("parsed %q as %q", text, key.Reveal())
		}
	})
}

func BenchmarkWellFormed(b *testing.B) {
	text := mustMint(b).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		WellFormed(text)
	}
}

func BenchmarkDigestOf(b *testing.B) {
	text := mustMint(b).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		DigestOf(text)
	}
}

func BenchmarkMint(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Mint("vctrl", rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}
