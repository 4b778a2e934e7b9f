package servingcert

import (
	"crypto/x509"
	"maps"
	"slices"
	"time"
)

// Entries of the Secret. ca.crt has every authority that is to be trusted, the one that signs first.
const (
	entryServing      = "tls.crt"
	entryServingKey   = "tls.key"
	entryBundle       = "ca.crt"
	entryAuthorityKey = "ca.key"
	entryNextKey      = "next-ca.key"
)

const (
	// AnnotationRenew asks for a new authority, on the Secret: whenever it gets another value.
	AnnotationRenew = "keyward.dev/renew-authority"
	// annotationRenewed is the value for which an authority was made.
	annotationRenewed = "keyward.dev/authority-renewed-for"
	// annotationPublished is since when the next authority is published everywhere.
	annotationPublished = "keyward.dev/next-authority-published"
)

// trusted is how many authorities are trusted at most. There are more than two only if somebody asks for new ones.
const trusted = 8

// lastDay is how long before its end an authority is replaced at any rate, published or not.
const lastDay = 24 * time.Hour

// Policy says how long certificates are valid, and when they are replaced.
type Policy struct {
	Authority, Serving time.Duration // how long they are valid
	// How long before their end they are replaced.
	RenewAuthority, RenewServing time.Duration
	// Overlap is how long the next authority is published before it issues the serving certificate.
	Overlap time.Duration
}

// DefaultPolicy has the lifetimes of docs/certificates.md.
func DefaultPolicy(overlap time.Duration) Policy {
	const day = 24 * time.Hour
	return Policy{Authority: 3650 * day, Serving: 365 * day, RenewAuthority: 365 * day, RenewServing: 90 * day, Overlap: overlap}
}

// record is what the Secret has: its entries and its annotations.
type record struct {
	data        map[string][]byte
	annotations map[string]string
}

// step is what was done to a record, and when there may be something to do again.
type step struct {
	record

	reason string // what was changed, for the log; "" if nothing was
	wake   time.Time
	// waits reports that the next authority waits to be published.
	waits bool
}

// advance does what is due. A new authority is trusted before it issues anything: it is added to the bundle first. When that was
// published everywhere for the overlap, the serving certificate is replaced. The earlier authority stays in the bundle until it
// expires, so that a manager that still has a certificate of it is trusted, too.
//
// published reports whether everyone who is to trust the bundle of the record has it.
func (p Policy) advance(r record, names []string, now time.Time, published bool) (step, error) {
	s := step{record: record{data: maps.Clone(r.data), annotations: maps.Clone(r.annotations)}}
	if s.data == nil {
		s.data = map[string][]byte{}
	}
	if s.annotations == nil {
		s.annotations = map[string]string{}
	}
	bundle := slices.DeleteFunc(parseBundle(r.data[entryBundle]), func(c *x509.Certificate) bool { return !validAt(c, now) })
	signing, next := authorityOf(bundle, r.data[entryAuthorityKey]), authorityOf(bundle, r.data[entryNextKey])
	if signing == nil && next != nil { // it has expired while no manager ran
		signing, next, s.reason = next, nil, "The authority has expired, and the next one issues certificates"
	}
	if signing == nil {
		var err error
		if signing, err = newAuthority(now, p.Authority); err != nil {
			return s, err
		}
		next, s.reason = nil, "Made an authority"
		s.annotations[annotationRenewed] = s.annotations[AnnotationRenew]
	}
	next, err := p.renew(&s, signing, next, now)
	if err != nil {
		return s, err
	}
	if next != nil && p.isDue(&s, signing, now, published) {
		signing, next, s.reason = next, nil, "The next authority issues certificates now"
	}
	serving, err := parsePair(r.data[entryServing], r.data[entryServingKey])
	if err != nil || !serving.issued(signing, names, now) || now.After(serving.cert.NotAfter.Add(-p.RenewServing)) &&
		serving.cert.NotAfter.Before(signing.cert.NotAfter) {
		if serving, err = newServing(signing, names, now, p.Serving); err != nil {
			return s, err
		}
		if s.reason == "" {
			s.reason = "Issued a serving certificate"
		}
	}
	s.store(signing, next, serving, bundle)
	s.wake = p.wake(&s, signing, next, serving)
	return s, nil
}

// renew makes the next authority if it is time or somebody asks for it.
func (p Policy) renew(s *step, signing, next *pair, now time.Time) (*pair, error) {
	asked := s.annotations[AnnotationRenew] != s.annotations[annotationRenewed]
	if next != nil || !asked && now.Before(signing.cert.NotAfter.Add(-p.RenewAuthority)) {
		return next, nil
	}
	next, err := newAuthority(now, p.Authority)
	if err != nil {
		return nil, err
	}
	s.reason = "Made the next authority, to be published before it issues certificates"
	s.annotations[annotationRenewed] = s.annotations[AnnotationRenew]
	delete(s.annotations, annotationPublished)
	return next, nil
}

// isDue reports whether the next authority is to issue certificates, and records since when it is published.
func (p Policy) isDue(s *step, signing *pair, now time.Time, published bool) bool {
	if !now.Before(signing.cert.NotAfter.Add(-lastDay)) {
		return true
	}
	since, err := time.Parse(time.RFC3339Nano, s.annotations[annotationPublished])
	if err != nil {
		s.waits = !published
		if s.reason != "" || !published { // one that was made just now is published by nobody
			s.waits = true
			return false
		}
		since = now
		s.annotations[annotationPublished] = now.UTC().Format(time.RFC3339Nano)
		s.reason = "The next authority is published"
	}
	return !now.Before(since.Add(p.Overlap))
}

// store writes the certificates into the record.
func (s *step) store(signing, next, serving *pair, earlier []*x509.Certificate) {
	bundle := []*x509.Certificate{signing.cert}
	if next != nil {
		bundle = append(bundle, next.cert)
	}
	for _, cert := range earlier {
		if len(bundle) < trusted && !slices.ContainsFunc(bundle, cert.Equal) {
			bundle = append(bundle, cert)
		}
	}
	s.data[entryServing], s.data[entryServingKey] = serving.certPEM, serving.keyPEM
	s.data[entryAuthorityKey], s.data[entryBundle] = signing.keyPEM, encodeBundle(bundle)
	delete(s.data, entryNextKey)
	if next != nil {
		s.data[entryNextKey] = next.keyPEM
	} else {
		delete(s.annotations, annotationPublished)
		s.waits = false
	}
	for _, name := range []string{annotationRenewed, annotationPublished} {
		if s.annotations[name] == "" {
			delete(s.annotations, name)
		}
	}
}

// wake returns when something is due next. Authorities that expire may stay until then.
func (p Policy) wake(s *step, signing, next, serving *pair) time.Time {
	wake := serving.cert.NotAfter.Add(-p.RenewServing)
	if authority := signing.cert.NotAfter.Add(-p.RenewAuthority); next == nil && authority.Before(wake) {
		wake = authority
	}
	if since, err := time.Parse(time.RFC3339Nano, s.annotations[annotationPublished]); err == nil && since.Add(p.Overlap).Before(wake) {
		wake = since.Add(p.Overlap)
	}
	return wake
}
