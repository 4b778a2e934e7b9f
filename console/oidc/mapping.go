package oidc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"

	"github.com/keyward-dev/keyward/console/web"
)

// Bounds of a mapping.
const (
	// MostExpression is how many bytes an expression has at most.
	MostExpression = 2048
	// MostAllowed is how many groups may be listed. All that a person has of them are in the cookie.
	MostAllowed = 128

	// mostCost is what an expression may cost for a person, in the units of CEL: about one for each step.
	mostCost   = 100_000
	mostDepth  = 32
	checkEvery = 100  // steps of a comprehension, after which it looks whether the request is over
	mostClaims = 2048 // groups that an expression may return
	mostName   = 256
)

// Expression is one in CEL over the variable claims.
type Expression struct{ program cel.Program }

// Compile checks an expression and its type: a string, or a list of strings. Claims have no type before they are read, and are checked then.
func Compile(text string, list bool) (*Expression, error) {
	if len(text) > MostExpression {
		return nil, fmt.Errorf("it has more than %d bytes", MostExpression)
	}
	env, err := cel.NewEnv(cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)), ext.Strings(),
		cel.ParserRecursionLimit(mostDepth), cel.ParserExpressionSizeLimit(MostExpression))
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	want := cel.StringType
	if list {
		want = cel.ListType(cel.StringType)
	}
	if got := ast.OutputType(); !want.IsAssignableType(got) && !got.IsAssignableType(want) {
		return nil, fmt.Errorf("it is of the type %s, and should be %s", got, want)
	}
	program, err := env.Program(ast, cel.CostLimit(mostCost), cel.InterruptCheckFrequency(checkEvery))
	if err != nil {
		return nil, err
	}
	return &Expression{program}, nil
}

// value returns what an expression says of claims. Its error has nothing of the claims.
func (e *Expression) value(ctx context.Context, claims map[string]any, into reflect.Type) (any, error) {
	got, _, err := e.program.ContextEval(ctx, map[string]any{"claims": claims})
	if err == nil {
		var native any
		if native, err = got.ConvertToNative(into); err == nil {
			return native, nil
		}
	}
	if strings.Contains(err.Error(), "cost limit exceeded") {
		return nil, errors.New("it costs too much for these claims")
	}
	return nil, errors.New("it has no value of the right type for these claims")
}

// Mapping says who somebody is for Kubernetes, whose claims a provider has signed.
type Mapping struct {
	// Name and Groups are those of a person, without Prefix.
	Name, Groups *Expression
	// Prefix is before each name and group.
	Prefix string
	// Allowed are the groups, with Prefix, that a person can have. Who has none of them is refused.
	Allowed []string
}

// Person returns whom claims are of. It is an error that wraps *web.SignInError if that is nobody who may sign in.
func (m *Mapping) Person(ctx context.Context, claims map[string]any) (name string, groups []string, err error) {
	got, err := m.Name.value(ctx, claims, reflect.TypeFor[string]())
	if err != nil {
		return "", nil, refusal("The name of this account cannot be read from what the provider says of it: %v. Ask who runs this console.", err)
	}
	name, _ = got.(string)
	if name == "" {
		return "", nil, refusal("The provider says no name of this account that can be used here. Ask who runs this console.")
	}
	name = m.Prefix + name
	if got, err = m.Groups.value(ctx, claims, reflect.TypeFor[[]string]()); err != nil {
		return "", nil, refusal("The groups of this account cannot be read from what the provider says of it: %v. Ask who runs this console.", err)
	}
	has, _ := got.([]string)
	if len(has) > mostClaims {
		return "", nil, refusal("This account is in more than %d groups. Ask who runs this console to have the provider send fewer.", mostClaims)
	}
	for _, one := range has {
		if of := m.Prefix + one; slices.Contains(m.Allowed, of) && !slices.Contains(groups, of) {
			groups = append(groups, of)
		}
	}
	slices.Sort(groups)
	return name, groups, m.Permit(name, groups)
}

// Permit returns an error, which wraps *web.SignInError, unless somebody may be impersonated.
func (m *Mapping) Permit(name string, groups []string) error {
	switch {
	case m.Prefix == "" || !strings.HasPrefix(name, m.Prefix) || name == m.Prefix || strings.HasPrefix(name, "system:") || !isName(name):
		return refusal("The name of this account cannot be used here: it is of up to %d printable characters of ASCII, and none of them is a space or *.", mostName)
	case len(groups) == 0:
		return refusal("This account is in no group that may use this console. Ask who runs it.")
	}
	for _, group := range groups {
		if !slices.Contains(m.Allowed, group) || !m.IsGroup(group) {
			return refusal("This account has a group that may not use this console. Sign in again.")
		}
	}
	return nil
}

// IsGroup reports whether a group can be allowed: with the prefix, none of Kubernetes itself, and no wildcard.
func (m *Mapping) IsGroup(name string) bool {
	bare, ok := strings.CutPrefix(name, m.Prefix)
	return ok && m.Prefix != "" && bare != "" && !strings.HasPrefix(name, "system:") && isName(strings.ReplaceAll(bare, " ", "_")) && strings.TrimSpace(bare) == bare
}

// isName reports whether a name comes through a header as it is, and means nothing but itself.
func isName(name string) bool {
	return len(name) <= mostName && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '*' })
}

func refusal(format string, args ...any) error {
	return &web.SignInError{Text: fmt.Sprintf(format, args...)}
}
