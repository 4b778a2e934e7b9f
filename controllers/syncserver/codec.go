package syncserver

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Bounds of a request, which are checked before it is decoded: an empty entry of a list is many times as large decoded as
// it is on the wire.
const (
	maxRequestBytes = 4 << 20
	maxSelectors    = 1000
	maxKnown        = 50_000
	maxFeatures     = 64
	maxRejected     = 1000
	maxUses         = 5000 // of each list; a server sends more than that in several requests
	maxClients      = 32
	maxRefusals     = 64
	maxOrigins      = 10
)

// Field numbers of sync.proto.
const (
	fieldHello, fieldAck, fieldVersions, fieldKeys, fieldQuotas = 1, 2, 3, 4, 5
	helloSelector, helloKnown, helloFeatures, helloRejections   = 2, 3, 4, 6
	selectorGroups, selectorNamespaces                          = 1, 2
	ackRejections, rejectionsRecords                            = 2, 1
	reportedVersions, reportedKeys, reportedGroups, ofClients   = 2, 1, 1, 3
	fieldTraffic, trafficGroups, ofRefusals, ofOrigins          = 6, 1, 2, 3
)

// bounds has the bounds of the lists in a message, by field number.
type bounds map[protowire.Number]bound

type bound struct {
	name string
	most int
	in   bounds // of the lists in the entry, if that is a message
}

var requestBounds = bounds{
	fieldHello: {"hello", 1, bounds{
		helloSelector: {"hello.selector", 1, bounds{
			selectorGroups:     {"hello.selector.groups", maxSelectors, nil},
			selectorNamespaces: {"hello.selector.namespaces", maxSelectors, nil},
		}},
		helloKnown:      {"hello.known", maxKnown, nil},
		helloFeatures:   {"hello.features", maxFeatures, nil},
		helloRejections: {"hello.rejections", 1, bounds{rejectionsRecords: {"hello.rejections.records", maxRejected, nil}}},
	}},
	fieldAck: {"ack", 1, bounds{
		ackRejections: {"ack.rejections", 1, bounds{rejectionsRecords: {"ack.rejections.records", maxRejected, nil}}},
	}},
	fieldVersions: {"versions", 1, bounds{
		// Clients are eight bytes each if they are packed, and nine if not.
		reportedVersions: {"versions.versions", maxUses, bounds{ofClients: {"versions.versions.clients", maxClients, nil}}},
	}},
	fieldKeys:   {"keys", 1, bounds{reportedKeys: {"keys.keys", maxUses, nil}}},
	fieldQuotas: {"quotas", 1, bounds{reportedGroups: {"quotas.groups", maxUses, nil}}},
	fieldTraffic: {"traffic", 1, bounds{trafficGroups: {"traffic.groups", maxUses, bounds{
		ofRefusals: {"traffic.groups.refusals", maxRefusals, nil}, ofOrigins: {"traffic.groups.origins", maxOrigins, nil},
	}}}},
}

// check checks an encoded message.
func (b bounds) check(encoded []byte) error {
	counts := map[protowire.Number]int{}
	for len(encoded) > 0 {
		number, kind, n := protowire.ConsumeTag(encoded)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, encoded[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		limit, ok := b[number]
		if !ok {
			encoded = encoded[n+size:]
			continue
		}
		value := encoded[n : n+size]
		encoded = encoded[n+size:]
		entries := 1
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
			switch {
			case number == ofClients && limit.most == maxClients:
				entries = len(value) / 8
			case number == helloFeatures && limit.most == maxFeatures:
				entries = len(value) // at least a byte each
			}
		}
		if counts[number] += entries; counts[number] > limit.most {
			return fmt.Errorf("%s: at most %d entries are taken in one request", limit.name, limit.most)
		}
		if limit.in != nil {
			if err := limit.in.check(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// boundedCodec refuses requests whose lists are too long before it decodes them.
type boundedCodec struct{ encoding.CodecV2 }

func newCodec() encoding.CodecV2 { return boundedCodec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal implements encoding.CodecV2.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, into any) error {
	if _, ok := into.(*syncv1.SyncRequest); ok {
		encoded := data.MaterializeToBuffer(mem.DefaultBufferPool())
		err := requestBounds.check(encoded.ReadOnlyData())
		encoded.Free()
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
	return c.CodecV2.Unmarshal(data, into)
}
