package servingcert

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	names = Names("keyward-system")
	start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	day   = 24 * time.Hour
)

// rotation is a record that is advanced by a clock.
type rotation struct {
	t      interface{ Fatal(...any) }
	policy Policy
	record record
	now    time.Time
}

// advance advances until nothing is due, and returns the last step.
func (r *rotation) advance(published bool) step {
	for range 10 {
		next, err := r.policy.advance(r.record, names, r.now, published)
		if err != nil {
			r.t.Fatal(err)
		}
		changed := next.reason != "" || !bytes.Equal(next.data[entryBundle], r.record.data[entryBundle])
		r.record = next.record
		if !changed {
			return next
		}
		published = false // of what was changed just now
	}
	r.t.Fatal("it does not come to rest")
	return step{}
}

func (r *rotation) serving() *x509.Certificate { return parseBundle(r.record.data[entryServing])[0] }

func (r *rotation) bundle() []byte { return r.record.data[entryBundle] }

// trusts reports whether a client with the bundle trusts the certificate.
func trusts(bundle []byte, cert *x509.Certificate, now time.Time) bool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: names[1], CurrentTime: now})
	return err == nil
}

func (r *rotation) ask(value string) {
	if r.record.annotations == nil {
		r.record.annotations = map[string]string{}
	}
	r.record.annotations[AnnotationRenew] = value
}

// TestFirstCertificate: an empty Secret gets an authority and a certificate of it, and is left alone then.
func TestFirstCertificate(t *testing.T) {
	r := &rotation{t: t, policy: DefaultPolicy(day), now: start}
	last := r.advance(false)
	if !trusts(r.bundle(), r.serving(), start) || len(parseBundle(r.bundle())) != 1 || r.record.data[entryNextKey] != nil {
		t.Errorf("it has %d authorities", len(parseBundle(r.bundle())))
	}
	if want := start.Add(275 * day); !last.wake.Equal(want) || last.waits {
		t.Errorf("the next change is at %s, not at %s", last.wake, want)
	}
}

// TestServingCertificateIsRenewed by the same authority, in time, and when it is not for the names or cannot be read.
func TestServingCertificateIsRenewed(t *testing.T) {
	for name, change := range map[string]func(*rotation){
		"in time":       func(r *rotation) { r.now = r.now.Add(275*day + time.Minute) },
		"lost":          func(r *rotation) { delete(r.record.data, entryServing) },
		"another's key": func(r *rotation) { r.record.data[entryServingKey] = r.record.data[entryAuthorityKey] },
		"without a name": func(r *rotation) {
			authority := authorityOf(parseBundle(r.bundle()), r.record.data[entryAuthorityKey])
			other, err := newServing(authority, names[:1], r.now, 365*day)
			if err != nil {
				t.Fatal(err)
			}
			r.record.data[entryServing], r.record.data[entryServingKey] = other.certPEM, other.keyPEM
		},
	} {
		r := &rotation{t: t, policy: DefaultPolicy(day), now: start}
		r.advance(false)
		before, bundle := r.record.data[entryServing], r.bundle()
		change(r)
		r.advance(true)
		if bytes.Equal(before, r.record.data[entryServing]) || !bytes.Equal(bundle, r.bundle()) || !trusts(bundle, r.serving(), r.now) {
			t.Errorf("%s: there is no other certificate of the same authority", name)
		}
	}
}

// TestAuthorityIsRenewed: the next authority is published first, issues certificates after the overlap, and the earlier one is
// trusted until it expires.
func TestAuthorityIsRenewed(t *testing.T) {
	r := &rotation{t: t, policy: DefaultPolicy(day), now: start}
	r.advance(false)
	first, earlier := r.serving(), parseBundle(r.bundle())[0]
	r.ask("now")
	if last := r.advance(false); !last.waits || len(parseBundle(r.bundle())) != 2 || !r.serving().Equal(first) {
		t.Fatal("the next authority does not wait to be published")
	}
	r.now = r.now.Add(30 * day)
	if last := r.advance(false); !last.waits || !r.serving().Equal(first) {
		t.Fatal("an authority that is not published issues certificates")
	}
	if last := r.advance(true); last.waits || !last.wake.Equal(r.now.Add(day)) || !r.serving().Equal(first) {
		t.Fatalf("the overlap ends at %s", last.wake)
	}
	r.now = r.now.Add(day - time.Second)
	if r.advance(true); !r.serving().Equal(first) {
		t.Fatal("the overlap is too short")
	}
	before := r.bundle()
	r.now = r.now.Add(time.Second)
	r.advance(true)
	if r.serving().Equal(first) || !trusts(before, r.serving(), r.now) || !trusts(r.bundle(), first, r.now) {
		t.Fatal("the next authority does not issue certificates, or one of the two is not trusted")
	}
	if last := r.advance(true); last.reason != "" || len(parseBundle(r.bundle())) != 2 {
		t.Errorf("it goes on: %s", last.reason)
	}
	r.now = earlier.NotAfter.Add(time.Second)
	r.advance(true)
	for _, cert := range parseBundle(r.bundle()) {
		if cert.Equal(earlier) {
			t.Error("an authority that has expired is trusted")
		}
	}
}

// TestEarlierReleasesAreContinued: a Secret that another program has filled, with keys of RSA, stays as it is.
func TestEarlierReleasesAreContinued(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0), Subject: pkix.Name{CommonName: "keyward-ca"}, NotBefore: start.Add(-time.Hour),
		NotAfter: start.Add(3650 * day), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	authority, err := parsePair(encode(der), keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := newServing(authority, names, start, 365*day)
	if err != nil {
		t.Fatal(err)
	}
	r := &rotation{t: t, policy: DefaultPolicy(day), now: start, record: record{data: map[string][]byte{
		entryBundle: encode(der), entryAuthorityKey: keyPEM, entryServing: serving.certPEM, entryServingKey: serving.keyPEM,
	}}}
	if r.advance(true); !bytes.Equal(r.bundle(), encode(der)) || !r.serving().Equal(serving.cert) {
		t.Error("it was replaced")
	}
}

// TestNobodyIsCutOff: in any course of time, a client whose file is younger than the overlap trusts the certificate, and every
// client trusts that of a manager whose file is as old.
func TestNobodyIsCutOff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := Policy{Authority: 100 * day, Serving: 30 * day, RenewAuthority: 40 * day, RenewServing: 10 * day, Overlap: 2 * day}
		r := &rotation{t: t, policy: policy, now: start}
		r.advance(false)
		type file struct {
			replaced time.Time
			bundle   []byte
			serving  *x509.Certificate
		}
		var earlier []file
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			bundle, serving := r.bundle(), r.serving()
			hours := rapid.OneOf(rapid.IntRange(1, 24), rapid.IntRange(1, 10*24)).Draw(t, "hours")
			r.now = r.now.Add(time.Duration(hours) * time.Hour)
			if rapid.IntRange(0, 9).Draw(t, "ask") == 0 {
				r.ask(r.now.String())
			}
			r.advance(rapid.Bool().Draw(t, "published"))
			earlier = append(earlier, file{r.now, bundle, serving})
			earlier = slices.DeleteFunc(earlier, func(f file) bool { return r.now.Sub(f.replaced) >= policy.Overlap })
			for _, f := range earlier {
				if !trusts(f.bundle, r.serving(), r.now) {
					t.Fatalf("a client whose file was replaced at %s does not trust the certificate at %s", f.replaced, r.now)
				}
				if r.now.Before(f.serving.NotAfter) && !trusts(r.bundle(), f.serving, r.now) {
					t.Fatalf("a manager whose file was replaced at %s is not trusted at %s", f.replaced, r.now)
				}
			}
		}
	})
}
