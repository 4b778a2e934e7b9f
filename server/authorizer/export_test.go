package authorizer

import "context"

// DecideUntraced is Decide as if there were no tracing in the program, to compare with.
func (i *Integration) DecideUntraced(ctx context.Context, request *Request) (result Result) {
	i.decide(ctx, request, &result)
	return result
}
