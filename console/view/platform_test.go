package view_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/view"
)

// TestPlatform: what somebody has to know first is the state, and what is not known is not shown as well.
func TestPlatform(t *testing.T) {
	at := func(hour int) *metav1.Time {
		return &metav1.Time{Time: time.Date(2026, 11, 28, hour, 0, 0, 0, time.UTC)}
	}
	ready := func(status metav1.ConditionStatus, message string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Reason: "R", Message: message}}
	}
	got := view.Platform(&v1alpha1.Installation{Status: v1alpha1.InstallationStatus{
		UpdatedAt: at(4), Version: "v0.1.0", Conditions: ready(metav1.ConditionFalse, "siem do not take events"),
		Validators: v1alpha1.InstallationValidators{
			Connected: ptr.To[int32](5), Disconnected: ptr.To[int32](1), Behind: ptr.To[int32](1), Rejecting: ptr.To[int32](1),
			Servers: []v1alpha1.InstallationServer{
				{Name: "old", ConnectedSince: at(1), BehindSince: at(2), Groups: ptr.To[int32](0), Rejected: ptr.To[int32](2), RejectionReason: "too new"},
				{Name: "slow", ConnectedSince: at(1), BehindSince: at(2)},
				{Name: "gone", DisconnectedSince: at(3), Version: "v0.1.0"},
				{Name: "fine", ConnectedSince: at(1)},
			},
		},
		Sinks: []v1alpha1.InstallationSink{
			{Name: "siem", Type: "Webhook", Sends: v1alpha1.SinkEvents, WaitingSince: at(4), Conditions: ready(metav1.ConditionFalse, "it fails; do this")},
			{Name: "lago", Type: "Lago", Sends: v1alpha1.SinkUsage, LastDeliveredAt: at(5), Conditions: ready(metav1.ConditionTrue, "it takes")},
		},
		Tiers: []v1alpha1.InstallationTier{
			{Name: "Free", Default: ptr.To(true), Keys: ptr.To[int32](2), RequestsPerMonth: ptr.To[int64](1000), BytesPerMonth: ptr.To(resource.MustParse("1G")), Overage: v1alpha1.OverageMeter},
			{Name: "Enterprise", AuditLog: ptr.To(true), Overage: v1alpha1.OverageMeter},
		},
	}}, at(4).Time)
	if got.State != (page.State{Text: "Needs attention", Tone: page.Bad}) || got.Problem != "Siem do not take events." || got.Leader != "not known" ||
		!got.Written.Equal(at(4).Time) || got.Connected != 5 || got.Unlisted != 2 {
		t.Errorf("%+v", got)
	}
	for i, want := range []page.PlatformServer{
		{Name: "old", Version: "not known", State: page.State{Text: "Rejects", Tone: page.Bad}, Groups: "0", Reason: "too new"},
		{Name: "slow", Version: "not known", State: page.State{Text: "Behind", Tone: page.Warn}, Since: at(2).Time},
		{Name: "gone", Version: "v0.1.0", State: page.State{Text: "Disconnected", Tone: page.Bad}, Since: at(3).Time},
		{Name: "fine", Version: "not known", State: page.State{Text: "Connected", Tone: page.Good}, Since: at(1).Time},
	} {
		if got.Servers[i] != want {
			t.Errorf("%+v, want %+v", got.Servers[i], want)
		}
	}
	for i, want := range []page.PlatformSink{
		{Name: "siem", Kind: "Webhook, events", State: page.State{Text: "Fails", Tone: page.Bad}, Waiting: at(4).Time, Problem: "It fails; do this."},
		{Name: "lago", Kind: "Lago, usage", State: page.State{Text: "Delivers", Tone: page.Good}, Delivered: at(5).Time},
	} {
		if got.Sinks[i] != want {
			t.Errorf("%+v, want %+v", got.Sinks[i], want)
		}
	}
	for i, want := range []page.PlatformTier{
		{Name: "Free", Default: true, Keys: "2", Requests: "1000, more is metered", Bytes: "1G, more is metered", Rate: "unlimited"},
		{Name: "Enterprise", Keys: "unlimited", Requests: "unlimited", Bytes: "unlimited", Rate: "unlimited", AuditLog: true},
	} {
		if got.Tiers[i] != want {
			t.Errorf("%+v, want %+v", got.Tiers[i], want)
		}
	}
	if nothing := view.Platform(&v1alpha1.Installation{}, at(4).Time); nothing.State.Tone != page.Off || nothing.Version != "not known" {
		t.Errorf("%+v", nothing)
	}
}

// TestAnOldPlatform: what was written by a manager that does not lead any more is not shown as well.
func TestAnOldPlatform(t *testing.T) {
	written := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	of := &v1alpha1.Installation{Status: v1alpha1.InstallationStatus{UpdatedAt: &metav1.Time{Time: written}, Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "R"},
	}}}
	for after, tone := range map[time.Duration]page.Tone{25 * time.Minute: page.Good, 25*time.Minute + time.Second: page.Off} {
		got := view.Platform(of, written.Add(after))
		if got.State.Tone != tone || (got.Problem == "") != (tone == page.Good) {
			t.Errorf("after %s: %+v %q", after, got.State, got.Problem)
		}
	}
}
