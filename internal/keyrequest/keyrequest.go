// Package keyrequest decides what happens to a request for a key: from the request, its review, the Group, the ApiKey of its name and the
// time. It is pure. Each step is a small check, and the first that applies decides.
package keyrequest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Bounds of requests.
const (
	// MaxUndecided is how many requests of a namespace nobody has decided about.
	MaxUndecided = 20
	// MaxUndecidedOfGroup is how many requests of a Group nobody has decided about.
	MaxUndecidedOfGroup = 500
	// Patience is how long a request waits for a decision.
	Patience = 30 * 24 * time.Hour
	// maxReason is how many characters a reason has at most.
	maxReason = 500
)

// Facts are what is known when it is decided what happens to a request.
type Facts struct {
	// Request is nil if it does not exist any more, or another has its name.
	Request *v1alpha1.KeyRequest
	// Review of the Request and the Group; nil if there is none.
	Review *v1alpha1.KeyRequestReview
	// Group that is named; nil if there is none.
	Group *v1alpha1.Group
	// NamespaceLabels are those of the namespace of the request.
	NamespaceLabels map[string]string
	// Key is the ApiKey of the name of the request, in its namespace; nil if there is none.
	Key *v1alpha1.ApiKey
	// Beyond reports whether the request is beyond the bounds of its namespace or its Group.
	Beyond bool
	Now    time.Time
}

// Action is what is to be done.
type Action int

// The actions.
const (
	// Nothing is to be done.
	Nothing Action = iota
	// CreateReview creates the Review.
	CreateReview
	// DeleteReview deletes the Review that was looked at, unless it has changed since.
	DeleteReview
	// Decide writes Outcome.Decision into the Review.
	Decide
	// Mint creates the ApiKey.
	Mint
	// Revoke revokes the ApiKey.
	Revoke
)

// Outcome is what is to be done, and what the status of the request says after that.
type Outcome struct {
	Action   Action
	Decision *v1alpha1.Decision
	State    v1alpha1.KeyRequestState
	// Reason and Message are those of conditions. A request that is not Ready is either Waiting or waits for somebody to act.
	Reason, Message string
	Ready, Waiting  bool
	// Again is when to look again; zero if nothing depends on the time.
	Again time.Time
}

// chain has the steps in their order.
var chain = []func(*Facts) *Outcome{
	orphaned, gone, finished, withdrawn, refused, issued, expired, notAccepted, beyond, unreviewed, automatic, undecided, nameTaken, minted, approved,
}

// Next decides what happens to a request. It has to be asked again after each action.
func Next(facts *Facts) Outcome {
	for _, step := range chain {
		if outcome := step(facts); outcome != nil {
			return *outcome
		}
	}
	return Outcome{}
}

// ReviewName returns the name of the review of a request and a Group: another request of the same name has another, and so has another Group.
func ReviewName(request, group types.UID) string {
	sum := sha256.Sum256([]byte(string(request) + "/" + string(group)))
	return hex.EncodeToString(sum[:16])
}

// verdict returns what was decided last, as admission has recorded it. What it has not recorded is no decision.
func verdict(review *v1alpha1.KeyRequestReview) *v1alpha1.Decided {
	if review == nil || review.Spec.Decision == nil {
		return nil
	}
	at := slices.IndexFunc(review.Spec.Decided, func(d v1alpha1.Decided) bool { return d.Verdict == review.Spec.Decision.Verdict })
	if at < 0 {
		return nil
	}
	return &review.Spec.Decided[at]
}

// IsOf reports whether an ApiKey was created for the request with the UID, and is owned by it.
func IsOf(key *v1alpha1.ApiKey, request types.UID) bool {
	if key == nil {
		return false
	}
	owner := metav1.GetControllerOf(key)
	return owner != nil && owner.UID == request && owner.Kind == "KeyRequest"
}

// Undecided reports whether a request counts for the bounds.
func Undecided(request *v1alpha1.KeyRequest, now time.Time) bool {
	return (request.Status.State == "" || request.Status.State == v1alpha1.KeyRequestPending) && request.DeletionTimestamp == nil &&
		now.Before(request.CreationTimestamp.Add(Patience))
}

// Before is the order in which requests count for the bounds: the oldest first.
func Before(a, b *v1alpha1.KeyRequest) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(string(a.UID), string(b.UID)))
}

// Accepts reports whether keys of the Group can be requested from the namespace with the labels. Who asks is not told why not.
func Accepts(group *v1alpha1.Group, request *v1alpha1.KeyRequest, labels map[string]string) bool {
	if group == nil || group.DeletionTimestamp != nil {
		return false
	}
	mode := group.Spec.KeyPolicy.Requests
	subject := grant.ForKey(&v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: request.Namespace}, Spec: v1alpha1.ApiKeySpec{GroupRef: request.Spec.GroupRef}}, labels)
	return (mode == v1alpha1.RequestsManual || mode == v1alpha1.RequestsAutomatic) && grant.CheckReference(subject, group) == nil
}

// NotAccepted is what is said of a request that is not accepted, whether the Group does not exist, does not admit the namespace, or has its
// requests off.
func NotAccepted(request *v1alpha1.KeyRequest) string {
	namespace, name := grant.GroupKey(request.Spec.GroupRef, request.Namespace)
	return fmt.Sprintf("spec.groupRef: no Group %q in namespace %q accepts requests for keys from this namespace; correct the reference in another "+
		"KeyRequest, or ask the owner of the Group", name, namespace)
}

// NewReview returns the review of a request.
func NewReview(request *v1alpha1.KeyRequest, group *v1alpha1.Group) *v1alpha1.KeyRequestReview {
	review := &v1alpha1.KeyRequestReview{ObjectMeta: metav1.ObjectMeta{
		Namespace: group.Namespace, Name: ReviewName(request.UID, group.UID),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "Group", Name: group.Name, UID: group.UID, Controller: ptr.To(true),
		}},
	}}
	review.Spec = v1alpha1.KeyRequestReviewSpec{
		Request: v1alpha1.RequestIdentity{
			Namespace: request.Namespace, Name: request.Name, UID: request.UID, At: request.CreationTimestamp,
			By: clip(request.Annotations[v1alpha1.AnnotationCreatedBy], 1024), Via: knownVia(request.Annotations[v1alpha1.AnnotationCreatedVia]),
		},
		Group:    v1alpha1.GroupIdentity{Name: group.Name, UID: group.UID},
		Projects: request.Spec.Projects, Permissions: request.Spec.Permissions, UseCase: request.Spec.UseCase, Lifetime: request.Spec.Lifetime,
	}
	return review
}

// knownVia returns how a request was made. Admission has stamped it; a request from before that has what its user wrote there, or nothing.
func knownVia(text string) v1alpha1.Via {
	if via := v1alpha1.Via(text); via.Known() {
		return via
	}
	return ""
}

// Key returns the ApiKey of a review that was approved. It is made of the review and the Group alone. The problem says why there is none.
func Key(review *v1alpha1.KeyRequestReview, group *v1alpha1.Group, now time.Time) (*v1alpha1.ApiKey, *grant.Problem) {
	key := asked(review)
	key.Spec.ExpiresAfter = v1alpha1.Lifetime(review.Spec.Lifetime)
	expiresAt, problem := grant.CappedExpiry(key, group, now)
	if problem != nil {
		return nil, problem
	}
	key.Spec.ExpiresAfter, key.Spec.ExpiresAt = "", ptr.To(metav1.NewTime(expiresAt.UTC().Truncate(time.Second)))
	key.Annotations = map[string]string{v1alpha1.AnnotationRequest: string(review.Spec.Request.UID)}
	key.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "KeyRequest", Name: review.Spec.Request.Name, UID: review.Spec.Request.UID, Controller: ptr.To(true),
	}}
	return key, nil
}

// asked returns the ApiKey that a review asks for, without when it ends.
func asked(review *v1alpha1.KeyRequestReview) *v1alpha1.ApiKey {
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: review.Spec.Request.Namespace, Name: review.Spec.Request.Name}}
	key.Spec = v1alpha1.ApiKeySpec{
		GroupRef: v1alpha1.GroupReference{Namespace: review.Namespace, Name: review.Spec.Group.Name},
		Projects: slices.Clone(review.Spec.Projects), Permissions: slices.Clone(review.Spec.Permissions), Description: review.Spec.UseCase,
	}
	return key
}

// Problem returns why the Group's policy would not admit the ApiKey that a review asks for; nil if it would.
func Problem(review *v1alpha1.KeyRequestReview, group *v1alpha1.Group, labels map[string]string, now time.Time) *grant.Problem {
	key := asked(review)
	if problem := grant.Check(grant.ForKey(key, labels), group); problem != nil {
		return problem
	}
	key.Spec.ExpiresAfter = v1alpha1.Lifetime(review.Spec.Lifetime)
	_, problem := grant.Expiry(key, group, now)
	return problem
}

// clip returns as many characters of a text as fit.
func clip(text string, most int) string {
	runes := []rune(strings.ToValidUTF8(text, ""))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}
