package envoy

import (
	"context"
	"fmt"
	"strings"
	"sync"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto" // which also registers the codec of all other messages
	"google.golang.org/grpc/mem"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/keyward-dev/keyward/server/credential"
)

// ServerOption makes a gRPC server read checks and write their responses as this package does, and all other messages
// as it would without this option.
func ServerOption(keys *credential.Locations) grpc.ServerOption {
	return grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(proto.Name), keys})
}

// service is Envoy's service, with the messages of this package instead of the generated ones.
var service = grpc.ServiceDesc{
	ServiceName: authv3.Authorization_ServiceDesc.ServiceName,
	HandlerType: (*responder)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: check}},
	Metadata:    authv3.Authorization_ServiceDesc.Metadata,
}

type responder interface {
	respond(ctx context.Context, q *checkRequest) *checkResponse
}

// check implements grpc.MethodHandler.
func check(
	server any, ctx context.Context, decode func(any) error, //nolint:revive // gRPC's order of arguments
	interceptor grpc.UnaryServerInterceptor,
) (any, error) {
	s, ok := server.(responder)
	if !ok {
		return nil, fmt.Errorf("%T does not respond to checks", server)
	}
	q := newCheckRequest()
	defer q.release()
	if err := decode(q); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return s.respond(ctx, q), nil
	}
	info := &grpc.UnaryServerInfo{Server: server, FullMethod: authv3.Authorization_Check_FullMethodName}
	return interceptor(ctx, q, info, func(ctx context.Context, _ any) (any, error) { return s.respond(ctx, q), nil })
}

// codec reads check requests, writes their responses, and leaves other messages to the codec of gRPC.
type codec struct {
	encoding.CodecV2

	keys *credential.Locations
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	q, ok := v.(*checkRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	q.keys = c.keys
	return q.unmarshal(textOf(data))
}

// Marshal implements encoding.CodecV2. The response becomes gRPC's.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(*checkResponse)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	return mem.BufferSlice{mem.NewBuffer((*[]byte)(a), responsePool{})}, nil
}

// textOf copies a message once, for everything that is cut out of it: gRPC reuses its buffers.
func textOf(data mem.BufferSlice) string {
	var text strings.Builder
	text.Grow(data.Len())
	for _, buffer := range data {
		text.Write(buffer.ReadOnlyData())
	}
	return text.String()
}

// unmarshal reads a CheckRequest. It fails like proto.Unmarshal.
func (q *checkRequest) unmarshal(text string) error {
	if q.parse(text) {
		return nil
	}
	check := &authv3.CheckRequest{}
	if err := protobuf.Unmarshal([]byte(text), check); err != nil {
		return err
	}
	q.read(check)
	return nil
}

// checkResponse is an encoded CheckResponse.
type checkResponse []byte

// checkResponseSize is more than responses usually have. gRPC would not return buffers as small as its threshold for
// pooling.
const checkResponseSize = 4 << 10

var checkResponsePool = sync.Pool{New: func() any {
	a := make(checkResponse, 0, checkResponseSize)
	return &a
}}

func newCheckResponse() *checkResponse {
	a, _ := checkResponsePool.Get().(*checkResponse)
	*a = (*a)[:0]
	return a
}

// responsePool is where gRPC returns responses when they are sent. It implements mem.BufferPool.
type responsePool struct{}

// Get implements mem.BufferPool. It is never called.
func (responsePool) Get(length int) *[]byte {
	buffer := make([]byte, length)
	return &buffer
}

// Put implements mem.BufferPool.
func (responsePool) Put(buffer *[]byte) {
	if cap(*buffer) <= 4*checkResponseSize {
		checkResponsePool.Put((*checkResponse)(buffer))
	}
}
