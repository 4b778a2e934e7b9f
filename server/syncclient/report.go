package syncclient

import (
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// reporter tells the manager, on one stream, what was used.
type reporter struct {
	client  *Client
	stream  grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse]
	through time.Time // until when the uses of versions are reported
	told    bool      // whether everything was told once
}

// all tells what was used since the last time, until through, and what the manager has not
// persisted.
func (r *reporter) all(through time.Time) error {
	if err := r.accounts(r.client.uses.Due(time.Now(), false)); err != nil {
		return err
	}
	keys, versions := r.client.source.Keys(!r.told), r.client.source.Since(r.through, time.Now())
	for {
		uses := &syncv1.Uses{Versions: versions[:min(usesOnce, len(versions))], Keys: keys[:min(usesOnce, len(keys))]}
		keys, versions = keys[len(uses.GetKeys()):], versions[len(uses.GetVersions()):]
		over := len(keys)+len(versions) == 0
		if over {
			uses.ThroughMs = through.UnixMilli()
		}
		if gone, err := r.send(uses); err != nil || gone {
			return err
		}
		if over {
			r.through, r.told = through, true
			return nil
		}
	}
}

// accounts tells what groups have used. A message without any tells at least who this is.
func (r *reporter) accounts(groups []*syncv1.GroupUse) error {
	for {
		uses := &syncv1.Uses{Groups: groups[:min(usesOnce, len(groups))]}
		groups = groups[len(uses.GetGroups()):]
		if over, err := r.send(uses); err != nil || over || len(groups) == 0 {
			return err
		}
	}
}

func (r *reporter) send(uses *syncv1.Uses) (over bool, err error) {
	uses.Incarnation = r.client.uses.Incarnation()
	err = r.stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Uses{Uses: uses}})
	if errors.Is(err, io.EOF) {
		return true, nil // the reason comes with the next Recv
	}
	return false, err
}
