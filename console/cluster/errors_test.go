package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/console/web"
)

func TestErrors(t *testing.T) {
	resource := schema.GroupResource{Group: "keyward.dev", Resource: "apikeys"}
	other := errors.New("connection refused")
	for name, c := range map[string]struct {
		err            error
		reads, changes error
	}{
		"not found": {err: apierrors.NewNotFound(resource, "web"), reads: web.ErrNotFound, changes: web.ErrNotFound},
		"forbidden": {err: apierrors.NewForbidden(resource, "web", other), reads: web.ErrNotFound, changes: web.ErrForbidden},
		"conflict":  {err: apierrors.NewConflict(resource, "web", other), reads: apierrors.NewConflict(resource, "web", other), changes: web.ErrConflict},
		"another":   {err: other, reads: other, changes: other},
		"none":      {},
	} {
		if got := reading(c.err); !errors.Is(got, c.reads) && got.Error() != c.reads.Error() {
			t.Errorf("%s: reading: %v", name, got)
		}
		if got := changing(c.err); !errors.Is(got, c.changes) {
			t.Errorf("%s: changing: %v", name, got)
		}
		if c.err != nil && !errors.Is(changing(c.err), c.err) {
			t.Errorf("%s: what the API server said is lost", name)
		}
	}
	kind := schema.GroupKind{Group: "keyward.dev", Kind: "ApiKey"}
	long := strings.Repeat("é", 5000)
	err := changing(apierrors.NewInvalid(kind, "web", field.ErrorList{
		field.Invalid(field.NewPath("spec", "projects").Index(1), "x", "no such project"),
		field.Invalid(field.NewPath("spec", "projects").Index(2), "y", "no such project either"),
		field.Invalid(field.NewPath("spec", "context"), "x", long),
	}))
	var is *web.InvalidError
	if !errors.As(err, &is) || len(is.Fields) != 2 || !strings.Contains(is.Fields["projects"], "no such project") ||
		!strings.HasPrefix(is.Fields[""], "spec.context: ") || len(is.Fields[""]) > maxMessage+len("…") {
		t.Errorf("%v: %+v", err, is)
	}
	// A webhook that refuses without a code of its own, such as a policy of the platform.
	if err := changing(apierrors.NewBadRequest("admission webhook \"policy.example\" denied the request: no keys on Fridays")); !errors.As(err, &is) ||
		!strings.HasSuffix(is.Fields[""], "no keys on Fridays") {
		t.Errorf("a policy: %v", err)
	}
	for webhook, policy := range map[string]bool{"validation.gatekeeper.sh": true, "keyrequestreviews.keyward.dev": false} {
		err := &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Code: 403,
			Message: fmt.Sprintf("admission webhook %q denied the request: no keys on Fridays", webhook)}}
		if is = nil; errors.As(changing(err), &is) != policy || policy && !strings.HasSuffix(is.Fields[""], "no keys on Fridays") ||
			!policy && !errors.Is(changing(err), web.ErrForbidden) {
			t.Errorf("%s: %v", webhook, changing(err))
		}
	}
	for text, want := range map[string]bool{"admission webhook \"x.example\" does not support dry run": true, "denied the request": false} {
		if got := cannotBeTried(apierrors.NewBadRequest(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if err := changing(apierrors.NewAlreadyExists(resource, "web")); !errors.As(err, &is) || is.Fields["name"] == "" {
		t.Errorf("a name that is taken: %v", err)
	}
}

func TestCursor(t *testing.T) {
	for _, c := range []cursor{{}, {Namespace: "acme"}, {Continue: "x/y+z="}, {Namespace: "acme", Continue: "eyJ2"}} {
		if got, err := parseCursor(c.String()); err != nil || got != c {
			t.Errorf("%+v: %v %+v", c, err, got)
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(cursor{Namespace: "acme", Continue: "eyJ2"}.String())
	f.Add("")
	f.Add("bnVsbA")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCursor(text)
		if err != nil && !errors.Is(err, web.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if again, err2 := parseCursor(c.String()); err == nil && (err2 != nil || again != c) {
			t.Errorf("%+v became %+v: %v", c, again, err2)
		}
	})
}
