package seal

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func keysOf(t interface{ Fatal(...any) }, root string) *Keys {
	keys, err := NewKeys([]byte(strings.Repeat(root, RootBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// A seal is valid only for exactly what it was made for: no part can be changed, or moved into another part.
func TestSealCoversAllParts(t *testing.T) {
	keys, others := keysOf(t, "a"), keysOf(t, "b")
	part := rapid.StringMatching(`[a-z:0-9]{0,4}`)
	draw := func(t *rapid.T, name string) Sealed {
		next := func(of string) string { return part.Draw(t, name+" "+of) }
		return Sealed{next("namespace"), next("key"), next("text"), next("version"), next("minted"), next("expires")}
	}
	rapid.Check(t, func(t *rapid.T) {
		one, two := draw(t, "one"), draw(t, "two")
		seal := keys.Seal(one)
		if !keys.Verify(one, seal) {
			t.Fatal("its own seal is not taken")
		}
		if one != two && keys.Verify(two, seal) {
			t.Fatalf("the seal of %+v is taken for %+v", one, two)
		}
		if others.Verify(one, seal) {
			t.Fatal("a seal by another secret is taken")
		}
	})
}

func TestVerifyRefusesInvalidSeals(t *testing.T) {
	keys, of := keysOf(t, "a"), Sealed{Namespace: "n", ApiKey: "k", Text: "t"}
	good := keys.Seal(of)
	for _, seal := range []string{"", "v1.", strings.TrimPrefix(good, "v1."), "v2." + good[3:], good + "A", good[:len(good)-1],
		"v1." + strings.Repeat("=", 43), strings.Repeat("v1.", 1<<20)} {
		if keys.Verify(of, seal) {
			t.Errorf("%.60q is taken for a seal", seal)
		}
	}
}

func TestDerivedKeysDiffer(t *testing.T) {
	keys := keysOf(t, "a")
	if string(keys.seals) == string(keys.Digests.Bytes()) {
		t.Error("validation servers have the key of seals")
	}
	if keysOf(t, "a").Digests.ID() != keys.Digests.ID() || keysOf(t, "b").Digests.ID() == keys.Digests.ID() {
		t.Error("two secrets have the same id")
	}
	for _, root := range [][]byte{nil, make([]byte, 31), make([]byte, 33)} {
		if _, err := NewKeys(root); err == nil {
			t.Errorf("a secret of %d bytes is taken", len(root))
		}
	}
}
