package routing

// Parameter is a name that a parameter of a query may have, for those who look for one parameter and not for routes.
type Parameter struct{ pattern queryPattern }

// NewParameter returns the parameter of that name.
func NewParameter(name string) Parameter { return Parameter{newQueryPattern(name, nil)} }

// Likeness is how a name, as sent, relates to that of a Parameter.
type Likeness uint8

// The likenesses. What MayBe the parameter is the parameter for some readers, and another one for others.
const (
	Another Likeness = iota
	Same
	MayBe
)

// Compare compares a name, as sent, with that of the parameter. The work is spent on the request; if that is exhausted, the
// result is MayBe, so that nobody gets a name past it by sending many.
func (p *Parameter) Compare(name string, request *Request) Likeness {
	if request.Exhausted() {
		return MayBe
	}
	switch p.pattern.compare(name, request) {
	case matches:
		return Same
	case differs:
		if request.Exhausted() {
			return MayBe
		}
		return Another
	default:
		return MayBe
	}
}
