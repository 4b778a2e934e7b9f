package syncclient

import (
	"errors"
	"io"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// reporter reports usage to the manager on one stream.
type reporter struct {
	client  *Client
	stream  syncStream
	through time.Time // until when the uses of versions are reported
	whole   bool      // whether everything was reported once
}

// all reports what was used since the last time, until through, and what the manager has not persisted.
func (r *reporter) all(through time.Time) error {
	if err := r.groups(r.client.quota.Due(time.Now(), false)); err != nil {
		return err
	}
	keys, versions := r.client.usage.Keys(!r.whole), r.client.usage.Since(r.through, time.Now())
	for {
		uses := &syncv1.Uses{Versions: versions[:min(usesPerMessage, len(versions))], Keys: keys[:min(usesPerMessage, len(keys))]}
		keys, versions = keys[len(uses.GetKeys()):], versions[len(uses.GetVersions()):]
		done := len(keys)+len(versions) == 0
		if done {
			uses.ThroughMs = through.UnixMilli()
		}
		if ended, err := r.send(uses); err != nil || ended {
			return err
		}
		if done {
			r.through, r.whole = through, true
			return nil
		}
	}
}

// groups reports the use of groups. A message without any identifies the incarnation at least.
func (r *reporter) groups(groups []*syncv1.GroupUse) error {
	for {
		uses := &syncv1.Uses{Groups: groups[:min(usesPerMessage, len(groups))]}
		groups = groups[len(uses.GetGroups()):]
		if ended, err := r.send(uses); err != nil || ended || len(groups) == 0 {
			return err
		}
	}
}

// send sends one message. It reports whether the stream has ended, which the next Recv explains.
func (r *reporter) send(uses *syncv1.Uses) (ended bool, err error) {
	uses.Incarnation = r.client.quota.Incarnation()
	err = r.stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Uses{Uses: uses}})
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
