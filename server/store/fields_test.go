package store

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/decision"
)

// The tests in this file go by the descriptors of the messages, so they fail when a field is added to sync.proto and the
// hand-written code here (keyrecord.go and wire.go for keys, compile.go for groups) does not handle it.

// fillers are values of fields that must have a certain form. Fields of the same name in any message get the same value.
var fillers = map[protoreflect.Name]protoreflect.Value{
	"digest":   protoreflect.ValueOfBytes(bytes.Repeat([]byte{7}, len(keyformat.Digest{}))),
	"patterns": protoreflect.ValueOfString("https://a.example"),
	"methods":  protoreflect.ValueOfString("GET"),
	"hosts":    protoreflect.ValueOfString("a.example"),
	"paths":    protoreflect.ValueOfString("/a"),
	"owners":   protoreflect.ValueOfUint32(0),

	"url_secret":   protoreflect.ValueOfBytes(bytes.Repeat([]byte{5}, urltoken.SecretSize)),
	"addresses":    protoreflect.ValueOfString("192.0.2.0/24"),
	"public_paths": protoreflect.ValueOfString("/a"),
}

// fillFields sets every field of a message, and of those in it. An enum gets its last value.
func fillFields(message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.IsMap():
			message.Mutable(field).Map().Set(filler(field.MapKey()).MapKey(), filler(field.MapValue()))
		case field.IsList() && field.Message() != nil:
			fillFields(message.Mutable(field).List().AppendMutable().Message())
		case field.IsList():
			message.Mutable(field).List().Append(filler(field))
		case field.Message() != nil:
			fillFields(message.Mutable(field).Message())
		default:
			message.Set(field, filler(field))
		}
	}
}

func filler(field protoreflect.FieldDescriptor) protoreflect.Value {
	if value, ok := fillers[field.Name()]; ok {
		return value
	}
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("a")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("a"))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(3)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(3)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(3)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(3)
	default:
		panic(fmt.Sprintf("%s: add its kind, %s, to this function", field.FullName(), field.Kind()))
	}
}

// withoutEach calls check for each field of a filled message, and of those in it, with that field cleared. The message is
// whole again after each call.
func withoutEach(message protoreflect.Message, check func(field protoreflect.FieldDescriptor)) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		whole := proto.Clone(message.Interface()).ProtoReflect().Get(field) // what Get returns is cleared with the field
		message.Clear(field)
		check(field)
		message.Set(field, whole)
		switch {
		case field.Message() == nil, field.IsMap():
		case field.IsList():
			withoutEach(whole.List().Get(0).Message(), check)
		default:
			withoutEach(whole.Message(), check)
		}
	}
}

// TestEveryFieldOfAKeyIsHandled clears each field of syncv1.Key, Version and RateLimit in turn. Without the field, the record,
// its encoding and what a decision sees must be other than with it, whether the key comes over the stream or from the journal.
func TestEveryFieldOfAKeyIsHandled(t *testing.T) {
	wire := &syncv1.Key{}
	fillFields(wire.ProtoReflect())
	wire.Group = "tenants/acme"
	find := map[string]func() known{
		"over the stream": func() known {
			s := open(t, Config{})
			apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{wire}})
			return found(s)
		},
		"from the journal": func() known {
			s := open(t, Config{})
			encoded, err := proto.Marshal(&syncv1.Update{Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{wire}})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.applyEncoded(encoded); err != nil {
				t.Fatal(err)
			}
			return found(s)
		},
	}
	with, whole := recordOf(wire), map[string]known{}
	for how := range find {
		if whole[how] = find[how](); whole[how].Key.ID == "" {
			t.Fatalf("%s: the filled key is not found", how)
		}
	}
	checked := map[protoreflect.FullName]bool{}
	withoutEach(wire.ProtoReflect(), func(field protoreflect.FieldDescriptor) {
		checked[field.FullName()] = true
		without := recordOf(wire)
		if without.equal(with) || bytes.Equal(without.encode(), with.encode()) {
			t.Errorf("%s is lost in a keyRecord: handle it in set, decode and encode, see keyrecord.go", field.FullName())
		}
		for how := range find {
			if reflect.DeepEqual(find[how](), whole[how]) {
				t.Errorf("%s of a key that comes %s does not reach a decision: take it from keyRecord to decision.Match", field.FullName(), how)
			}
		}
	})
	if want := numberOfFields(&syncv1.Key{}, &syncv1.Version{}, &syncv1.RateLimit{}); len(checked) != want {
		t.Errorf("%d of %d fields were looked at: %v", len(checked), want, checked)
	}
}

func recordOf(wire *syncv1.Key) *keyRecord {
	record := &keyRecord{}
	record.set(wire)
	return record
}

// known is what decisions can know of a key.
type known struct {
	decision.Match

	urlSecret string
}

func found(s *Store) known {
	digest := keyformat.Digest(fillers["digest"].Bytes())
	match, _ := s.Find(digest)
	_, secret, _ := s.Signer(urltoken.IDOf(digest))
	return known{match, string(secret)}
}

// TestEveryFieldOfAGroupIsHandled clears each field of syncv1.Group, and of the messages in it, in turn. Without the field, the
// compiled group must be other than with it.
func TestEveryFieldOfAGroupIsHandled(t *testing.T) {
	s, wire := open(t, Config{}), &syncv1.Group{}
	fillFields(wire.ProtoReflect())
	wire.State = syncv1.GroupState_GROUP_STATE_ACTIVE // the last one is what an unknown state is, too
	with, checked := s.compile(wire), map[protoreflect.FullName]bool{}
	if again := s.compile(wire); !reflect.DeepEqual(again, with) {
		t.Fatal("a group compiles to something else each time")
	}
	withoutEach(wire.ProtoReflect(), func(field protoreflect.FieldDescriptor) {
		checked[field.FullName()] = true
		if reflect.DeepEqual(s.compile(wire), with) {
			t.Errorf("%s is lost in a decision.Group: handle it in compile.go", field.FullName())
		}
	})
	want := numberOfFields(&syncv1.Group{}, &syncv1.Project{}, &syncv1.Route{}, &syncv1.QueryMatch{}, &syncv1.OriginPolicy{},
		&syncv1.SharedOrigins{}, &syncv1.Capability{}, &syncv1.Limits{}, &syncv1.RateLimit{}, &syncv1.QuotaPeriod{})
	if len(checked) != want {
		t.Errorf("%d of %d fields were looked at: %v", len(checked), want, checked)
	}
}

func numberOfFields(messages ...proto.Message) (n int) {
	for _, message := range messages {
		n += message.ProtoReflect().Descriptor().Fields().Len()
	}
	return n
}

// anyKey is a record that a manager may send.
var anyKey = rapid.Custom(func(t *rapid.T) *syncv1.Key {
	wire := &syncv1.Key{}
	draw(t, wire.ProtoReflect())
	return wire
})

// draw gives every field of a message any value, or none.
func draw(t *rapid.T, message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		name := string(field.FullName())
		switch {
		case field.IsMap():
			values := message.Mutable(field).Map()
			for range rapid.IntRange(0, 3).Draw(t, name+", how many") {
				values.Set(drawValue(t, field.MapKey()).MapKey(), drawValue(t, field.MapValue()))
			}
		case field.IsList():
			list := message.Mutable(field).List()
			for range rapid.IntRange(0, 3).Draw(t, name+", how many") {
				if field.Message() != nil {
					draw(t, list.AppendMutable().Message())
				} else {
					list.Append(drawValue(t, field))
				}
			}
		case field.Message() != nil:
			if rapid.Bool().Draw(t, name+", set") {
				draw(t, message.Mutable(field).Message())
			}
		default:
			message.Set(field, drawValue(t, field))
		}
	}
}

func drawValue(t *rapid.T, field protoreflect.FieldDescriptor) protoreflect.Value {
	name := string(field.FullName())
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, name))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(0, field.Enum().Values().Len()-1).Draw(t, name)))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.StringN(0, 9, -1).Draw(t, name))
	case protoreflect.BytesKind:
		size := len(keyformat.Digest{})
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, name))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, name))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, name))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, name))
	default:
		panic(fmt.Sprintf("%s: add its kind, %s, to this function", field.FullName(), field.Kind()))
	}
}
