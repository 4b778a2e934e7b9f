// Package view turns objects of the API into the models of the console's pages: which words, tones, links and actions somebody sees. It
// reads nothing, and is pure. What it offers is what the role of the person includes and the state of the object permits; whether it is done is
// decided by the API server all the same.
package view

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/role"
)

// Sight is who looks at a Group, and when.
type Sight struct {
	Group place.Group
	// Role is that of the person in the Group, and about a key in its namespace.
	Role role.Role
	// ReadsSecret reports whether the person may read the Secret of the key that is looked at.
	ReadsSecret bool
	// Decides reports whether the person may decide about the request for a key that is looked at.
	Decides bool
	Now     time.Time
}

func (s *Sight) may(o role.Operation) bool { return role.May(s.Role, o) }

// key returns where a key is shown.
func (s *Sight) key(key *v1alpha1.ApiKey) place.Key {
	return place.Key{Group: s.Group, Namespace: key.Namespace, Name: key.Name}
}

// name is how an object is called on pages of the Group: with its namespace, if that is another.
func (s *Sight) name(object metav1.Object) string {
	if object.GetNamespace() == s.Group.Namespace {
		return object.GetName()
	}
	return object.GetNamespace() + "/" + object.GetName()
}

// Refers reports whether an object in a namespace is about a Group by its reference.
func Refers(reference v1alpha1.GroupReference, namespace string, of place.Group) bool {
	groupNamespace, name := grant.GroupKey(reference, namespace)
	return groupNamespace == of.Namespace && name == of.Name
}

// timeOf returns the zero time for none.
func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
