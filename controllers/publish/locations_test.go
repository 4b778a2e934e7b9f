package publish_test

import (
	"slices"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// TestLocations: a Group that accepts keys in headers only has no such field, so that servers of an earlier release know it.
func TestLocations(t *testing.T) {
	const query, protocol = syncv1.KeyLocation_KEY_LOCATION_QUERY, syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL
	for _, c := range []struct {
		declared []v1alpha1.KeyLocation
		want     []syncv1.KeyLocation
	}{
		{nil, nil},
		{[]v1alpha1.KeyLocation{}, nil},
		{[]v1alpha1.KeyLocation{v1alpha1.KeyInQuery}, []syncv1.KeyLocation{query}},
		{[]v1alpha1.KeyLocation{v1alpha1.KeyInWebSocketProtocol, v1alpha1.KeyInQuery}, []syncv1.KeyLocation{query, protocol}},
		{[]v1alpha1.KeyLocation{"Cookie", v1alpha1.KeyInQuery, v1alpha1.KeyInQuery}, []syncv1.KeyLocation{query}},
	} {
		group := &v1alpha1.Group{Spec: v1alpha1.GroupSpec{KeyPolicy: v1alpha1.KeyPolicy{AcceptIn: c.declared}}}
		if got := publish.GroupRecord(group, nil).GetAcceptIn(); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.declared, got, c.want)
		}
	}
}
