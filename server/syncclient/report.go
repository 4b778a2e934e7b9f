package syncclient

import (
	"errors"
	"io"
	"iter"
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

// traffic reports which keys were refused, what was refused of groups, and which origins others came from.
func (r *reporter) traffic() error {
	r.rounds = 0
	if err := r.refusals(); err != nil || !r.has(syncv1.Feature_FEATURE_TRAFFIC_REPORTS) {
		return err
	}
	for part := range slices.Chunk(r.client.usage.Traffic(), trafficPerMessage) {
		report := &syncv1.TrafficReport{Groups: part}
		if err := r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Traffic{Traffic: report}}); err != nil {
			return err
		}
	}
	return nil
}

// refusals reports which keys were refused, in one message: they are bounded. It goes ahead of the traffic that they are a part of, so
// that the manager writes both at once.
func (r *reporter) refusals() error {
	if !r.has(syncv1.Feature_FEATURE_KEY_REFUSALS) {
		return nil
	}
	keys := r.client.usage.RefusedKeys()
	if len(keys) == 0 {
		return nil
	}
	return r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Refusals{Refusals: &syncv1.KeyRefusalReport{Keys: keys}}})
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
func (r *reporter) keys(keys iter.Seq[*syncv1.KeyUse]) error {
	return inParts(keys, func(part []*syncv1.KeyUse, _ bool) error {
		if len(part) == 0 {
			return nil
		}
		return r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Keys{Keys: &syncv1.KeyReport{Keys: part}}})
	})
}

// versions reports the uses of versions. The last message says until when they are complete.
func (r *reporter) versions(versions iter.Seq[*syncv1.VersionUse], through time.Time) error {
	return inParts(versions, func(part []*syncv1.VersionUse, last bool) error {
		report := &syncv1.VersionReport{Versions: part}
		if last {
			report.ThroughMs = through.UnixMilli()
		}
		return r.send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Versions{Versions: report}})
	})
}

// inParts sends as many as a message may have at a time, and at the end the last part, which may be empty. A part is not used again.
func inParts[T any](all iter.Seq[T], send func(part []T, last bool) error) error {
	var part []T
	for one := range all {
		if len(part) == usesPerMessage {
			if err := send(part, false); err != nil {
				return err
			}
			part = nil
		}
		part = append(part, one)
	}
	return send(part, true)
}

// send sends one message. If the stream has ended, the next Recv says why.
func (r *reporter) send(request *syncv1.SyncRequest) error {
	if err := r.stream.Send(request); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
