package usagequery

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/decisioncode"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// KeyRefusal says why requests with a key were refused lately.
type KeyRefusal struct {
	// Code is the decision code, and Status that of HTTP; 0 if the code is not known.
	Code   string `json:"code"`
	Status int    `json:"status,omitempty"`
	// Cause says what was wrong, and Hint what to do about it. Both may have a text that a client chose: the origin.
	Cause string `json:"cause"`
	Hint  string `json:"hint,omitempty"`
	// Requests were refused from FirstAt to LastAt.
	Requests int64       `json:"requests"`
	FirstAt  metav1.Time `json:"firstAt"`
	LastAt   metav1.Time `json:"lastAt"`
	// Origin is that of the latest request that had one, as scheme://host; empty if none had.
	Origin string `json:"origin,omitempty"`
}

// Refusals returns why requests with a key were refused in the last 48 hours, by the GroupUsage of its Group; the latest first.
func Refusals(recorded *v1alpha1.GroupUsage, key *v1alpha1.ApiKey, now time.Time) (refusals []KeyRefusal) {
	for i := range recorded.Status.RefusedKeys {
		is := &recorded.Status.RefusedKeys[i]
		if key.Status.KeyID == "" || is.KeyID != key.Status.KeyID || now.Sub(is.LastAt.Time) > usageseries.RefusedKept {
			continue
		}
		refusal := KeyRefusal{
			Code: is.Code, Cause: "A later release knows this code.", Requests: is.Requests, FirstAt: is.FirstAt, LastAt: is.LastAt, Origin: is.Origin,
		}
		if code, known := decisioncode.Parse(is.Code); known {
			refusal.Status = code.Status()
			refusal.Cause, refusal.Hint = code.Explain(valuesOf(key, code, is.Origin))
		}
		refusals = append(refusals, refusal)
	}
	return refusals
}

// valuesOf are what is known of a refused request: nothing of its own but the origin, and the project only where the key has but one.
func valuesOf(key *v1alpha1.ApiKey, code decisioncode.Code, origin string) decisioncode.Values {
	namespace, name := grant.GroupKey(key.Spec.GroupRef, key.Namespace)
	values := decisioncode.Values{
		Origin: cmp.Or(origin, "this origin"), Group: namespace + "/" + name, Method: "this method",
		Key: "-n " + key.Namespace + " " + key.Name,
	}
	// The request was for one of the key's projects, or it would have been denied for that.
	if len(key.Spec.Projects) == 1 && code != decisioncode.ProjectDenied {
		values.Project = string(key.Spec.Projects[0])
	}
	return values
}
