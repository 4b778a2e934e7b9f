package person_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/person"
)

func TestNoCredentialIsPrinted(t *testing.T) {
	t.Parallel()
	of := person.New("jane", []string{"acme"}, &rest.Config{BearerToken: "secret-token", Password: "secret-password"})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, value := range []any{of, *of, []*person.Person{of}} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, "secret-") {
				t.Errorf("%s of %T shows a credential: %s", verb, value, got)
			}
		}
	}
	if got := of.Config().BearerToken; got != "secret-token" {
		t.Errorf("Config has the token %q", got)
	}
}

func TestFrom(t *testing.T) {
	t.Parallel()
	if _, ok := person.From(t.Context()); ok {
		t.Error("a context without a person has one")
	}
	if _, ok := person.From(person.With(t.Context(), nil)); ok {
		t.Error("nil is a person")
	}
	of := person.New("jane", nil, &rest.Config{})
	if got, ok := person.From(person.With(t.Context(), of)); !ok || got != of {
		t.Errorf("From: %v, %v", got, ok)
	}
}
