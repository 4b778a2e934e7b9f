package syncserver

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// TestRecordedStream: what the first validation server sent is within all bounds.
func TestRecordedStream(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "api", "sync", "v1", "testdata", "first.up.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	read := 0
	for in := bufio.NewReader(file); ; read++ {
		request, again := &syncv1.SyncRequest{}, &syncv1.SyncRequest{}
		if err := protodelim.UnmarshalFrom(in, request); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		encoded, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, again); err != nil || !proto.Equal(again, request) {
			t.Errorf("request %d: %v, %v", read, again, err)
		}
		if hello := request.GetHello(); hello != nil {
			if err := checkHello(hello); err != nil {
				t.Error(err)
			}
			if both := shared(hello); len(both) < 5 || !both.has(syncv1.Feature_FEATURE_REJECTIONS) {
				t.Errorf("in use are %v", both)
			}
		}
	}
	if read != 5 {
		t.Errorf("%d requests", read)
	}
}

// TestOriginsAreBounded: as many origins of a group as a server reports are taken, and one more is refused before it is decoded.
func TestOriginsAreBounded(t *testing.T) {
	for entries, right := range map[int]bool{maxOrigins: true, maxOrigins + 1: false} {
		origins := slices.Repeat([]*syncv1.OriginUse{{}}, entries)
		for name, group := range map[string]*syncv1.GroupTraffic{"origins": {Origins: origins}, "refused_origins": {RefusedOrigins: origins}} {
			encoded, err := proto.Marshal(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Traffic{Traffic: &syncv1.TrafficReport{Groups: []*syncv1.GroupTraffic{group}}}})
			if err != nil {
				t.Fatal(err)
			}
			err = newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, &syncv1.SyncRequest{})
			if (err == nil) != right {
				t.Errorf("%d %s: %v", entries, name, err)
			}
		}
	}
}

// TestRefusedKeysAreBounded: as many refused keys as a server reports are taken, and one more is refused before it is decoded.
func TestRefusedKeysAreBounded(t *testing.T) {
	for entries, right := range map[int]bool{maxRefusedKeys: true, maxRefusedKeys + 1: false} {
		report := &syncv1.KeyRefusalReport{}
		for range entries {
			report.Keys = append(report.Keys, &syncv1.KeyRefusal{})
		}
		encoded, err := proto.Marshal(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Refusals{Refusals: report}})
		if err != nil {
			t.Fatal(err)
		}
		err = newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, &syncv1.SyncRequest{})
		if (err == nil) != right {
			t.Errorf("%d: %v", entries, err)
		}
	}
}
