package publish

import (
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// locations is the published form of where a Group accepts keys. The order of what is declared does not matter.
func locations(declared []v1alpha1.KeyLocation) []syncv1.KeyLocation {
	var published []syncv1.KeyLocation
	for _, l := range declared {
		switch l {
		case v1alpha1.KeyInQuery:
			published = append(published, syncv1.KeyLocation_KEY_LOCATION_QUERY)
		case v1alpha1.KeyInWebSocketProtocol:
			published = append(published, syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL)
		}
	}
	slices.Sort(published)
	return slices.Compact(published)
}
