package publish_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// TestRateRecords: published rate limits are complete, and are the resolved ones.
func TestRateRecords(t *testing.T) {
	limit := func(perSecond, burst int32) (limit v1alpha1.RateLimit) {
		if perSecond > 0 {
			limit.RequestsPerSecond = &perSecond
		}
		if burst > 0 {
			limit.Burst = &burst
		}
		return limit
	}
	for _, c := range []struct {
		name           string
		spec, resolved v1alpha1.RateLimit
		want           *syncv1.RateLimit
		key            *syncv1.RateLimit // if spec is the one of a key
	}{
		{"none", limit(0, 0), limit(0, 0), nil, nil},
		{"a rate", limit(10, 0), limit(10, 0), &syncv1.RateLimit{PerSecond: 10, Burst: 10}, &syncv1.RateLimit{PerSecond: 10, Burst: 10}},
		{"a rate and a burst", limit(10, 1), limit(10, 1), &syncv1.RateLimit{PerSecond: 10, Burst: 1},
			&syncv1.RateLimit{PerSecond: 10, Burst: 1}},
		{"a burst alone", limit(0, 5), limit(0, 5), nil, nil},
		{"a burst, and the tier's rate", limit(0, 5), limit(10, 5), &syncv1.RateLimit{PerSecond: 10, Burst: 5}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			group := &v1alpha1.Group{}
			group.Spec.Limits.RateLimit = c.spec
			group.Status.Limits = &v1alpha1.GroupLimits{Limits: v1alpha1.Limits{RateLimit: c.resolved}}
			limits := publish.GroupRecord(group, nil).GetLimits()
			if got := limits.GetRate(); !proto.Equal(got, c.want) || (limits == nil) != (c.want == nil) ||
				limits.GetOverage() != syncv1.Overage_OVERAGE_UNSPECIFIED {
				t.Errorf("the limits are %v", limits)
			}
			key := &v1alpha1.ApiKey{}
			key.Spec.Limits = c.spec
			key.Status.Versions = []v1alpha1.KeyVersion{{}}
			if got := publish.KeyRecord(key, nil).GetRate(); !proto.Equal(got, c.key) {
				t.Errorf("the key's rate is %v", got)
			}
		})
	}
}

// TestCachingIsSharedWhereDeclared: and nowhere else.
func TestCachingIsSharedWhereDeclared(t *testing.T) {
	for declared, want := range map[v1alpha1.Caching]syncv1.Caching{
		"": syncv1.Caching_CACHING_UNSPECIFIED, v1alpha1.CachingPrivate: syncv1.Caching_CACHING_UNSPECIFIED,
		v1alpha1.CachingShared: syncv1.Caching_CACHING_SHARED, "Public": syncv1.Caching_CACHING_UNSPECIFIED,
	} {
		group := &v1alpha1.Group{}
		group.Spec.Caching = declared
		if got := publish.GroupRecord(group, nil).GetCaching(); got != want {
			t.Errorf("%q is %v", declared, got)
		}
	}
}
