package syncserver

import (
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// features are the parts of the protocol that this manager has.
func features() []syncv1.Feature {
	return []syncv1.Feature{
		syncv1.Feature_FEATURE_REJECTIONS,
		syncv1.Feature_FEATURE_VERSION_REPORTS,
		syncv1.Feature_FEATURE_KEY_REPORTS,
		syncv1.Feature_FEATURE_QUOTAS,
		syncv1.Feature_FEATURE_SERVERS,
		syncv1.Feature_FEATURE_TRAFFIC_REPORTS,
		syncv1.Feature_FEATURE_KEY_QUOTAS,
		syncv1.Feature_FEATURE_KEY_REFUSALS,
	}
}

// inUse are the features that both ends have.
type inUse []syncv1.Feature

func shared(hello *syncv1.Hello) (both inUse) {
	for _, feature := range features() {
		if slices.Contains(hello.GetFeatures(), feature) {
			both = append(both, feature)
		}
	}
	return both
}

func (f inUse) has(feature syncv1.Feature) bool { return slices.Contains(f, feature) }
