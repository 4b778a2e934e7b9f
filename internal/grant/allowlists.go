package grant

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Bounds of what all DomainAllowlists of a Group may have together, whichever projects they are for. Validation servers keep
// it for every Group. docs/api.md repeats them.
const (
	// MaxDomains is how many domains they may name. A domain counts in each list that names it, and a list counts as one domain
	// at least, so that this also bounds how many lists have to be read for one of them.
	MaxDomains = 4096
	// MaxDomainBytes is how many bytes these domains may have.
	MaxDomainBytes = 256 << 10
	// foreignDomainBytes is what a domain counts with letters that ASCII lacks: how long its ASCII form is depends on the
	// letters, and it is at most about this long.
	foreignDomainBytes = 256
)

// AllowlistSize is the size of DomainAllowlists, in the numbers that are bounded.
type AllowlistSize struct{ Domains, Bytes int }

// SizeOfAllowlist returns what a list counts.
func SizeOfAllowlist(list *v1alpha1.DomainAllowlist) AllowlistSize {
	size := AllowlistSize{Domains: max(1, len(list.Spec.Domains))}
	for _, domain := range list.Spec.Domains {
		size.Bytes += len(domain)
		if len(domain) > utf8.RuneCountInString(domain) {
			size.Bytes += max(0, foreignDomainBytes-len(domain))
		}
	}
	return size
}

func (s AllowlistSize) plus(other AllowlistSize) AllowlistSize {
	return AllowlistSize{s.Domains + other.Domains, s.Bytes + other.Bytes}
}

func (s AllowlistSize) isAllowed() bool { return s.Domains <= MaxDomains && s.Bytes <= MaxDomainBytes }

// FitAllowlists divides the allowlists of a Group into those that count and those that are beyond the bounds. They count in
// the order of their creation, and of their names where that is the same, until one does not fit; it and all after it are
// beyond. So neither the order of lists nor a later list changes what an earlier one allows.
func FitAllowlists(lists []*v1alpha1.DomainAllowlist) (counted, beyond []*v1alpha1.DomainAllowlist) {
	total := AllowlistSize{}
	for _, list := range lists {
		total = total.plus(SizeOfAllowlist(list))
	}
	if total.isAllowed() {
		return lists, nil
	}
	sorted := slices.Clone(lists)
	slices.SortFunc(sorted, func(a, b *v1alpha1.DomainAllowlist) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	total = AllowlistSize{}
	for i, list := range sorted {
		if total = total.plus(SizeOfAllowlist(list)); !total.isAllowed() {
			return sorted[:i], sorted[i:]
		}
	}
	return sorted, nil
}

// AllowlistTooLarge returns the problem of a list that is created, or changed from old, if it does not fit with the other
// lists of its Group that count; old is nil for a new one. A change that makes a list no larger is never refused.
func AllowlistTooLarge(old, list *v1alpha1.DomainAllowlist, others []*v1alpha1.DomainAllowlist) *Problem {
	size := SizeOfAllowlist(list)
	if old != nil {
		if before := SizeOfAllowlist(old); size.Domains <= before.Domains && size.Bytes <= before.Bytes {
			return nil
		}
	}
	total := size
	counted, _ := FitAllowlists(others)
	for _, other := range counted {
		total = total.plus(SizeOfAllowlist(other))
	}
	if total.isAllowed() {
		return nil
	}
	return allowlistsTooLarge(fmt.Sprintf("with this one, all DomainAllowlists of the Group would have %d domains of %d bytes; "+
		"they may have %d of %d bytes: %s", total.Domains, total.Bytes, MaxDomains, MaxDomainBytes, fewerDomains))
}

// AllowlistBeyond is the problem of a list that does not count, because it and the older ones are beyond the bounds.
func AllowlistBeyond() *Problem {
	return allowlistsTooLarge(fmt.Sprintf("all DomainAllowlists of the Group together may have %d domains of %d bytes, "+
		"and with this one or an older one they have more; it allows nothing until they have fewer: %s", MaxDomains, MaxDomainBytes, fewerDomains))
}

const fewerDomains = "write a wildcard such as *.acme.com in place of its subdomains, or delete domains or lists that are no longer needed"

func allowlistsTooLarge(message string) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonAllowlistsTooLarge, Type: field.ErrorTypeForbidden, Field: "spec.domains", Message: message,
	}
}
