package syncclient

import (
	"errors"
	"io"
	"slices"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// reporter reports usage to the manager on one stream.
type reporter struct {
	client   *Client
	stream   syncStream
	features []syncv1.Feature // of the manager; nil before its Welcome, and then nothing is reported
	through  time.Time        // until when the uses of versions are reported
	whole    bool             // whether everything was reported once
	rounds   int              // how often everything was reported since traffic was
}

// trafficEvery is how often traffic is reported: with every sixth report of everything, which is once a minute.
const trafficEvery = 6

// begin begins to report: first the groups, which the manager has to know of before it leases, and everything if the server stops.
func (r *reporter) begin(welcome *syncv1.Welcome, stopping bool) error {
	r.features = welcome.GetFeatures()
	r.client.quota.SetKeyQuotas(r.has(syncv1.Feature_FEATURE_KEY_QUOTAS))
	if err := r.groups(r.client.quota.Due(time.Now(), true)); err != nil || !stopping {
		return err
	}
	return r.last()
}

func (r *reporter) has(feature syncv1.Feature) bool { return slices.Contains(r.features, feature) }

// all reports what was used since the last time, until through, and what the manager has not persisted.
func (r *reporter) all(through time.Time) error {
	if r.features == nil {
		return nil
	}
	if err := r.groups(r.client.quota.Due(time.Now(), false)); err != nil {
		return err
	}
	if r.has(syncv1.Feature_FEATURE_KEY_REPORTS) {
		if err := r.keys(r.client.usage.Keys(!r.whole)); err != nil {
			return err
		}
	}
	if r.has(syncv1.Feature_FEATURE_VERSION_REPORTS) {
		if err := r.versions(r.client.usage.Since(r.through, time.Now()), through); err != nil {
			return err
		}
	}
	r.through, r.whole = through, true
	if r.rounds++; r.rounds >= trafficEvery {
		return r.traffic()
	}
	return nil
}

// last is all for a server that is stopping.
func (r *reporter) last() error {
	if err := r.all(time.Now()); err != nil {
		return err
	}
	return r.traffic()
}

// traffic reports what was refused of groups, and which origins others came from.
func (r *reporter) traffic() error {
	if !r.has(syncv1.Feature_FEATURE_TRAFFIC_REPORTS) {
		return nil
	}
	r.rounds = 0
	for part := range slices.Chunk(r.client.usage.Traffic(), trafficPerMessage) {
		report := &syncv1.TrafficReport{Groups: part}
		if err := r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Traffic{Traffic: report}}); err != nil {
			return err
		}
	}
	return nil
}

// groups reports the use of groups.
func (r *reporter) groups(groups []*syncv1.GroupUse) error {
	if !r.has(syncv1.Feature_FEATURE_QUOTAS) {
		return nil
	}
	for part := range slices.Chunk(groups, usesPerMessage) {
		report := &syncv1.QuotaReport{Groups: part}
		if err := r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Quotas{Quotas: report}}); err != nil {
			return err
		}
	}
	return nil
}

// keys reports the requests of keys.
func (r *reporter) keys(keys []*syncv1.KeyUse) error {
	for part := range slices.Chunk(keys, usesPerMessage) {
		report := &syncv1.KeyReport{Keys: part}
		if err := r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Keys{Keys: report}}); err != nil {
			return err
		}
	}
	return nil
}

// versions reports the uses of versions. The last message says until when they are complete.
func (r *reporter) versions(versions []*syncv1.VersionUse, through time.Time) error {
	for {
		report := &syncv1.VersionReport{Versions: versions[:min(usesPerMessage, len(versions))]}
		versions = versions[len(report.GetVersions()):]
		if len(versions) == 0 {
			report.ThroughMs = through.UnixMilli()
		}
		if err := r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Versions{Versions: report}}); err != nil || len(versions) == 0 {
			return err
		}
	}
}

// send sends one message. If the stream has ended, the next Recv says why.
func (r *reporter) send(request *syncv1.SyncRequest) error {
	if err := r.stream.Send(request); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
