package keyrequest

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// revocable returns whether an ApiKey is one to revoke.
func revocable(key *v1alpha1.ApiKey) bool {
	return key != nil && key.DeletionTimestamp == nil && !ptr.Deref(key.Spec.Revoked, false)
}

// orphaned revokes the ApiKey of a request that was deleted without what it owns.
func orphaned(f *Facts) *Outcome {
	if f.Request != nil || f.Review == nil || !revocable(f.Key) {
		return nil
	}
	uid := f.Review.Spec.Request.UID
	if IsOf(f.Key, uid) || types.UID(f.Key.Annotations[v1alpha1.AnnotationRequest]) != uid {
		return nil // it is deleted with the request, or is another's
	}
	return &Outcome{Action: Revoke}
}

// gone deletes the review of a request that does not exist any more.
func gone(f *Facts) *Outcome {
	switch {
	case f.Request == nil && f.Review != nil:
		return &Outcome{Action: DeleteReview}
	case f.Request == nil || f.Request.DeletionTimestamp != nil:
		return &Outcome{}
	}
	return nil
}

// finished keeps what is final, also if the review does not exist any more.
func finished(f *Facts) *Outcome {
	switch f.Request.Status.State {
	case v1alpha1.KeyRequestRefused:
		return end(v1alpha1.KeyRequestRefused, v1alpha1.ReasonRequestRefused, "")
	case v1alpha1.KeyRequestWithdrawn:
		return f.revoked("")
	case v1alpha1.KeyRequestExpired:
		outcome := f.over()
		return outcome
	default:
		return nil
	}
}

func withdrawn(f *Facts) *Outcome {
	if decided := verdict(f.Review); decided != nil && decided.Verdict == v1alpha1.VerdictWithdrawn {
		return f.revoked(said("the approval was withdrawn", decided))
	}
	return nil
}

// revoked revokes the ApiKey of a request whose approval was withdrawn.
func (f *Facts) revoked(message string) *Outcome {
	outcome := end(v1alpha1.KeyRequestWithdrawn, v1alpha1.ReasonApprovalWithdrawn, message)
	if f.ofRequest() && revocable(f.Key) {
		outcome.Action = Revoke
	}
	return outcome
}

// ofRequest reports whether the ApiKey was created for the request.
func (f *Facts) ofRequest() bool {
	issued := f.Request.Status.Key
	return IsOf(f.Key, f.Request.UID) || f.Key != nil && issued != nil && issued.UID == f.Key.UID
}

func refused(f *Facts) *Outcome {
	if decided := verdict(f.Review); decided != nil && decided.Verdict == v1alpha1.VerdictRefused {
		return end(v1alpha1.KeyRequestRefused, v1alpha1.ReasonRequestRefused, said("the request was refused", decided))
	}
	return nil
}

// issued keeps a request whose ApiKey was created: from then on it is a key as any other.
func issued(f *Facts) *Outcome {
	key := f.Request.Status.Key
	switch {
	case key == nil:
		return nil
	case f.Key == nil || f.Key.UID != key.UID:
		return end(v1alpha1.KeyRequestIssued, v1alpha1.ReasonKeyDeleted,
			"the ApiKey was deleted, and is not created again; create another KeyRequest where a key is needed")
	case f.Group == nil:
		return end(v1alpha1.KeyRequestIssued, v1alpha1.ReasonGroupNotFound, NotAccepted(f.Request))
	}
	return f.ready()
}

func (f *Facts) ready() *Outcome {
	return &Outcome{
		State: v1alpha1.KeyRequestIssued, Reason: v1alpha1.ReasonReady, Ready: true,
		Message: fmt.Sprintf("ApiKey %s was created; its status says how far it is", f.Request.Name),
	}
}

func expired(f *Facts) *Outcome {
	if verdict(f.Review) != nil || f.Now.Before(f.Request.CreationTimestamp.Add(Patience)) {
		return nil
	}
	return f.over()
}

// over ends a request that nobody has decided about, with its review.
func (f *Facts) over() *Outcome {
	outcome := end(v1alpha1.KeyRequestExpired, v1alpha1.ReasonRequestExpired,
		"nobody decided about the request for 30 days; delete it, and create it again")
	if f.Review != nil {
		outcome.Action = DeleteReview
	}
	return outcome
}

// notAccepted says the same for any reason, so that Groups cannot be searched for.
func notAccepted(f *Facts) *Outcome {
	if Accepts(f.Group, f.Request, f.NamespaceLabels) {
		return nil
	}
	outcome := f.pending(v1alpha1.ReasonGroupNotFound, NotAccepted(f.Request))
	outcome.Waiting = false
	if decided := verdict(f.Review); decided != nil {
		outcome.State = v1alpha1.KeyRequestApproved
	}
	return outcome
}

func beyond(f *Facts) *Outcome {
	if f.Review != nil || !f.Beyond {
		return nil
	}
	outcome := f.pending(v1alpha1.ReasonTooManyRequests, TooMany)
	outcome.Waiting, outcome.Again = false, f.Now.Add(time.Minute)
	return outcome
}

// TooMany is what is said of a request that is beyond the bounds.
var TooMany = fmt.Sprintf("nobody has decided about %d older requests of this namespace, or %d of the Group; delete some, or wait until they are decided",
	MaxUndecided, MaxUndecidedOfGroup)

func unreviewed(f *Facts) *Outcome {
	if f.Review != nil {
		return nil
	}
	outcome := f.waiting()
	outcome.Action = CreateReview
	return outcome
}

// automatic decides by the key policy: what it does not admit is refused, and not left for a person.
func automatic(f *Facts) *Outcome {
	if f.Group.Spec.KeyPolicy.Requests != v1alpha1.RequestsAutomatic || f.Review.Spec.Decision != nil {
		return nil
	}
	outcome := f.waiting()
	outcome.Action, outcome.Decision = Decide, &v1alpha1.Decision{Verdict: v1alpha1.VerdictApproved}
	if problem := Problem(f.Review, f.Group, f.NamespaceLabels, f.Now); problem != nil {
		outcome.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictRefused, Reason: clip(problem.Error(), maxReason)}
	}
	return outcome
}

func undecided(f *Facts) *Outcome {
	if verdict(f.Review) != nil {
		return nil
	}
	return f.waiting()
}

func nameTaken(f *Facts) *Outcome {
	if f.Key == nil || IsOf(f.Key, f.Request.UID) {
		return nil
	}
	outcome := f.pending(v1alpha1.ReasonNameTaken, fmt.Sprintf("there is an ApiKey %s that was not created for this request; delete it, "+
		"or create a KeyRequest of another name", f.Request.Name))
	outcome.State, outcome.Waiting = v1alpha1.KeyRequestApproved, false
	return outcome
}

// minted finds the ApiKey that was created before a crash.
func minted(f *Facts) *Outcome {
	if f.Key == nil {
		return nil
	}
	return f.ready()
}

// approved is the last step: all that could prevent that the ApiKey is created comes before it.
func approved(f *Facts) *Outcome {
	outcome := f.pending(v1alpha1.ReasonApproved, said("the request was approved", verdict(f.Review)))
	outcome.State, outcome.Action = v1alpha1.KeyRequestApproved, Mint
	return outcome
}

func (f *Facts) waiting() *Outcome {
	return f.pending(v1alpha1.ReasonUndecided, "the request waits for the owner of the Group to decide")
}

// pending is a request that is not over, and looked at again when it would be.
func (f *Facts) pending(reason, message string) *Outcome {
	outcome := &Outcome{State: v1alpha1.KeyRequestPending, Reason: reason, Message: message, Waiting: true}
	if over := f.Request.CreationTimestamp.Add(Patience); verdict(f.Review) == nil && over.After(f.Now) {
		outcome.Again = over
	}
	return outcome
}

// end is a request that nothing changes any more. Without a message, what was said before stays.
func end(state v1alpha1.KeyRequestState, reason, message string) *Outcome {
	return &Outcome{State: state, Reason: reason, Message: message}
}

// said is what was decided, by whom and why.
func said(what string, decided *v1alpha1.Decided) string {
	text := fmt.Sprintf("%s by %q", what, clip(decided.By, 253))
	if decided.Reason != "" {
		text += fmt.Sprintf(": %q", decided.Reason)
	}
	return text
}
