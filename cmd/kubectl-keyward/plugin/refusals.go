package plugin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// refusals says why requests with a key were refused lately, as far as the GroupUsage of its Group says: nothing if there is none yet, the cluster
// knows none, or the user may not read it.
func (s *session) refusals(ctx context.Context, key *v1alpha1.ApiKey, now time.Time) ([]usagequery.KeyRefusal, error) {
	recorded := &v1alpha1.GroupUsage{}
	namespace, name := grant.GroupKey(key.Spec.GroupRef, key.Namespace)
	err := s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, recorded)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return usagequery.Refusals(recorded, key, now), nil
}

// refusals writes them as explain does.
func (p *page) refusals(all []usagequery.KeyRefusal) {
	for i := range all {
		is := &all[i]
		p.line("")
		code := is.Code
		if is.Status > 0 {
			code = strconv.Itoa(is.Status) + " " + code
		}
		p.line("%s: %s", p.paint(red, "Refused lately"), p.paint(bold, code))
		p.line("  %s", strings.TrimSpace(is.Cause))
		if is.Hint != "" {
			p.line("  %s", is.Hint)
		}
		facts := [][]cell{
			texts("  Requests", fmt.Sprintf("%s since %s", numbers(true)(is.Requests), is.FirstAt.UTC().Format(minute))),
			texts("  Last", p.when(&is.LastAt, instant)),
		}
		if is.Origin != "" {
			facts = append(facts, texts("  Origin", is.Origin))
		}
		p.table(facts)
	}
}
