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
	"github.com/keyward-dev/keyward/controllers/publish"
)

// Bounds of a request, which are checked before it is decoded: an empty entry of a list is many times as large decoded as
// it is on the wire.
const (
	maxRequestBytes = 4 << 20
	maxSelectors    = 1000
	maxKnown        = 50_000
	maxFeatures     = 64
	maxUses         = 5000 // of each list; a server sends more than that in several requests
	maxClients      = 32
	maxRefusals     = 64
	maxOrigins      = 10
	maxRefusedKeys  = 4096
)

// Field numbers of sync.proto.
const (
	fieldHello, fieldAck, fieldVersions, fieldKeys, fieldQuotas = 1, 2, 3, 4, 5
	helloSelector, helloKnown, helloFeatures, helloRejections   = 2, 3, 4, 6
	selectorGroups, selectorNamespaces                          = 1, 2
	ackRejections, rejectionsRecords                            = 2, 1
	reportedVersions, reportedKeys, reportedGroups, ofClients   = 2, 1, 1, 3
	fieldTraffic, trafficGroups, ofRefusals, ofOrigins          = 6, 1, 2, 3
	ofRefusedOrigins                                            = 5
	fieldRefusals, refusedKeys                                  = 7, 1
)

// bounds has the bounds of the lists in a message, by field number.
type bounds map[protowire.Number]bound

type bound struct {
	name string
	most int
	in   bounds // of the lists in the entry, if that is a message
	// packed is how many bytes an entry has at least where one field may have several, packed; 0 if none may.
	packed int
}

func listOf(name string, most int) bound { return bound{name: name, most: most} }

func message(name string, in bounds) bound { return messages(name, 1, in) }

func messages(name string, most int, in bounds) bound { return bound{name: name, most: most, in: in} }

func packed(name string, most, entry int) bound { return bound{name: name, most: most, packed: entry} }

var requestBounds = bounds{
	fieldHello: message("hello", bounds{
		helloSelector: message("hello.selector", bounds{
			selectorGroups:     listOf("hello.selector.groups", maxSelectors),
			selectorNamespaces: listOf("hello.selector.namespaces", maxSelectors),
		}),
		helloKnown:      listOf("hello.known", maxKnown),
		helloFeatures:   packed("hello.features", maxFeatures, 1),
		helloRejections: message("hello.rejections", bounds{rejectionsRecords: listOf("hello.rejections.records", publish.MaxRejected)}),
	}),
	fieldAck: message("ack", bounds{
		ackRejections: message("ack.rejections", bounds{rejectionsRecords: listOf("ack.rejections.records", publish.MaxRejected)}),
	}),
	fieldVersions: message("versions", bounds{
		reportedVersions: messages("versions.versions", maxUses, bounds{ofClients: packed("versions.versions.clients", maxClients, 8)}),
	}),
	fieldKeys:   message("keys", bounds{reportedKeys: listOf("keys.keys", maxUses)}),
	fieldQuotas: message("quotas", bounds{reportedGroups: listOf("quotas.groups", maxUses)}),
	fieldTraffic: message("traffic", bounds{trafficGroups: messages("traffic.groups", maxUses, bounds{
		ofRefusals: listOf("traffic.groups.refusals", maxRefusals), ofOrigins: listOf("traffic.groups.origins", maxOrigins),
		ofRefusedOrigins: listOf("traffic.groups.refused_origins", maxOrigins),
	})}),
	fieldRefusals: message("refusals", bounds{refusedKeys: listOf("refusals.keys", maxRefusedKeys)}),
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
			if limit.packed > 0 {
				entries = len(value) / limit.packed
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
