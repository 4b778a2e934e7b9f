package syncclient

import syncv1 "github.com/keyward-dev/keyward/api/sync/v1"

// features are the parts of the protocol that this server has.
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
