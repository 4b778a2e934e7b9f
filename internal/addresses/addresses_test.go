package addresses

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24":            "192.0.2.0/24",
		"192.0.2.7/24":            "192.0.2.0/24",
		"192.0.2.7/32":            "192.0.2.7/32",
		"2001:DB8::/32":           "2001:db8::/32",
		"2001:db8:0:0::1/128":     "2001:db8::1/128",
		"::ffff:192.0.2.0/120":    "192.0.2.0/24",
		"::ffff:c000:207/128":     "192.0.2.7/32",
		"::ffff:0:0/96":           "",
		"::ffff:0.0.0.0/95":       "",
		"0.0.0.0/0":               "",
		"::/0":                    "",
		"192.0.2.7":               "",
		"192.0.2.7/33":            "",
		"192.0.2.7/-1":            "",
		"192.0.2.7/+8":            "",
		"192.0.2.7/08":            "",
		"192.0.02.7/8":            "",
		"192.0.2/24":              "",
		" 198.51.100.0/24":        "",
		"198.51.100.0/24 ":        "",
		"fe80::%eth0/64":          "",
		"[2001:db8::]/32":         "",
		"":                        "",
		"/":                       "",
		strings.Repeat("1", 1000): "",
	} {
		got, err := Parse(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q: %v", text, got)
			} else if text != "" && text != "/" && strings.Contains(err.Error(), text) {
				t.Errorf("%q: the error repeats it: %v", text, err)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}

// TestOneOfThemIsWrong: nothing is left of a list of which one cannot be read.
func TestOneOfThemIsWrong(t *testing.T) {
	if got, err := ParseAll([]string{"192.0.2.0/24", "x"}); err == nil || got != nil || !strings.Contains(err.Error(), "addresses[1]") {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseAll(slices.Repeat([]string{"192.0.2.0/24"}, Max+1)); err == nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseAll(slices.Repeat([]string{"192.0.2.0/24"}, Max)); err != nil || len(got) != Max {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseAll(nil); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestCanonical(t *testing.T) {
	got := Canonical([]string{"2001:DB8::/32", "192.0.2.9/24", "::ffff:192.0.2.0/120", "?"})
	if want := []string{"192.0.2.0/24", "2001:db8::/32", "?"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Canonical[string](nil); got != nil {
		t.Errorf("%q", got)
	}
}

// TestContain draws prefixes and addresses: an address is contained if its first bits are those of a prefix of its family.
func TestContain(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		size := rapid.SampledFrom([]int{4, 16}).Draw(t, "size")
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x80, 0xff}), size, size).Draw(t, "bytes"))
		return a.Unmap()
	})
	rapid.Check(t, func(t *rapid.T) {
		var texts []string
		var want bool
		client := address.Draw(t, "client")
		for _, a := range rapid.SliceOfN(address, 0, 3).Draw(t, "prefixes") {
			bits := rapid.IntRange(1, a.BitLen()).Draw(t, "bits")
			texts = append(texts, netip.PrefixFrom(a, bits).String())
			same := a.BitLen() == client.BitLen()
			for i := range bits {
				same = same && bit(a, i) == bit(client, i)
			}
			want = want || same
		}
		prefixes, err := ParseAll(texts)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := ParseAll(Canonical(texts))
		if err != nil {
			t.Fatal(err)
		}
		if got := Contain(prefixes, client); got != want || Contain(canonical, client) != want {
			t.Fatalf("%v in %q: %v", client, texts, got)
		}
		if Contain(prefixes, netip.Addr{}) {
			t.Fatal("an address that is not known is in a prefix")
		}
	})
}

func bit(a netip.Addr, i int) bool {
	b := a.AsSlice()
	return a.BitLen() > i && b[i/8]>>(7-i%8)&1 == 1
}
