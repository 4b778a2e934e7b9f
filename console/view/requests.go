package view

import (
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

const (
	// shownUseCase is how many characters of a use case a row has.
	shownUseCase = 160
	// shownNames is how many projects or permissions a row has.
	shownNames = 8
)

// ReviewOf reports whether a review is of a Group as it is: one of the same name that was created again has another UID.
func ReviewOf(review *v1alpha1.KeyRequestReview, group *v1alpha1.Group) bool {
	return review.Namespace == group.Namespace && review.Spec.Group.Name == group.Name && review.Spec.Group.UID == group.UID
}

// Undecided reports whether a request waits for a decision.
func Undecided(review *v1alpha1.KeyRequestReview) bool { return review.Spec.Decision == nil }

// CanFollow reports whether a verdict is possible after what was decided: a refusal is final, and only an approval can be withdrawn.
func CanFollow(review *v1alpha1.KeyRequestReview, verdict v1alpha1.Verdict) bool {
	if Undecided(review) {
		return verdict == v1alpha1.VerdictApproved || verdict == v1alpha1.VerdictRefused
	}
	return review.Spec.Decision.Verdict == v1alpha1.VerdictApproved && verdict == v1alpha1.VerdictWithdrawn
}

// ByTurn is the order of requests: of those that wait the oldest first, of others what was decided last.
func ByTurn(a, b *v1alpha1.KeyRequestReview) int {
	switch undecided := Undecided(a); {
	case undecided != Undecided(b) && undecided:
		return -1
	case undecided != Undecided(b):
		return 1
	case undecided:
		return a.Spec.Request.At.Compare(b.Spec.Request.At.Time)
	}
	return lastDecided(b).At.Compare(lastDecided(a).At.Time)
}

// lastDecided returns what admission recorded last; the zero value for nothing.
func lastDecided(review *v1alpha1.KeyRequestReview) (last v1alpha1.Decided) {
	for _, one := range review.Spec.Decided {
		if last.Verdict == "" || one.At.After(last.At.Time) || one.Verdict == v1alpha1.VerdictWithdrawn {
			last = one
		}
	}
	return last
}

// RequestRow is a row of the list of requests.
func (s *Sight) RequestRow(review *v1alpha1.KeyRequestReview) page.Request {
	row := s.request(review)
	row.Projects, row.Permissions = first(shownNames, review.Spec.Projects), first(shownNames, permissionsAsked(review.Spec.Permissions))
	row.UseCase = brief(row.UseCase, shownUseCase)
	return row
}

func (s *Sight) request(review *v1alpha1.KeyRequestReview) page.Request {
	spec := &review.Spec
	return page.Request{
		Name: spec.Request.Name, Href: s.Group.Request(review.Name), Namespace: spec.Request.Namespace, By: orElse(spec.Request.By, "not recorded"),
		Projects: join(spec.Projects), Permissions: join(permissionsAsked(review.Spec.Permissions)), UseCase: spec.UseCase,
		Lifetime: orElse(string(spec.Lifetime), "default of the Group"), State: requestState(review), At: spec.Request.At.Time,
	}
}

// Request is the page of a request, with what the person may decide, and what would follow from an approval.
func (s *Sight) Request(review *v1alpha1.KeyRequestReview, group *v1alpha1.Group) page.RequestDetail {
	detail := page.RequestDetail{
		Request: s.request(review), Action: s.Group.Request(review.Name), Back: s.Group.Of("requests"),
		Decides:   s.Decides && CanFollow(review, v1alpha1.VerdictRefused),
		Withdraws: s.Decides && CanFollow(review, v1alpha1.VerdictWithdrawn),
	}
	if detail.Decides {
		s.foresee(&detail, review, group)
	}
	for _, one := range review.Spec.Decided {
		detail.Decided = append(detail.Decided, whoDecided(one))
	}
	slices.SortStableFunc(detail.Decided, byTime)
	return detail
}

// foresee says what would follow if the request were approved now: no key, a key that is not valid yet because the Group lacks something, or a valid
// one, and when that would end. Which labels the namespace has is not looked at, because a person may not be allowed to read them: a Group that selects
// namespaces admitted this one when it was asked.
func (s *Sight) foresee(detail *page.RequestDetail, review *v1alpha1.KeyRequestReview, group *v1alpha1.Group) {
	if detail.Unfit = notAccepting(group, review.Spec.Request.Namespace); detail.Unfit != "" {
		return
	}
	admitting := group.DeepCopy()
	admitting.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}
	problem := keyrequest.Problem(review, admitting, nil, s.Now)
	detail.Shortened = problem != nil && problem.Elsewhere && problem.Field == "spec.expiresAfter"
	if problem != nil && problem.Elsewhere && !detail.Shortened {
		detail.Lacks = sentence(problem.Message)
	}
	key, problem := keyrequest.Key(review, group, s.Now)
	if problem != nil {
		detail.Unfit, detail.Lacks = sentence(problem.Message), ""
		return
	}
	detail.Ends = timeOf(key.Spec.ExpiresAt)
}

// whoDecided is who has decided what.
func whoDecided(one v1alpha1.Decided) page.Decided {
	return page.Decided{State: verdictState(one.Verdict), By: one.By, Reason: one.Reason, At: one.At.Time}
}

func byTime(a, b page.Decided) int { return a.At.Compare(b.At) }

// requestState is the state of a request in a word. What admission has not recorded is done by nobody.
func requestState(review *v1alpha1.KeyRequestReview) page.State {
	if Undecided(review) {
		return page.State{Text: "Undecided", Tone: page.Warn}
	}
	verdict := review.Spec.Decision.Verdict
	if !slices.ContainsFunc(review.Spec.Decided, func(d v1alpha1.Decided) bool { return d.Verdict == verdict }) {
		return page.State{Text: string(verdict) + ", not recorded", Tone: page.Bad}
	}
	return verdictState(verdict)
}

func verdictState(verdict v1alpha1.Verdict) page.State {
	tone := page.Off
	switch verdict {
	case v1alpha1.VerdictApproved:
		tone = page.Good
	case v1alpha1.VerdictRefused, v1alpha1.VerdictWithdrawn:
	}
	return page.State{Text: string(verdict), Tone: tone}
}

// permissionsAsked are those of a request, which are read if it names none.
func permissionsAsked(named []v1alpha1.PermissionName) []v1alpha1.PermissionName {
	if len(named) == 0 {
		return []v1alpha1.PermissionName{v1alpha1.PermissionRead}
	}
	return named
}

// brief is the beginning of a text, on one line.
func brief(text string, most int) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most]) + "…"
}
