package store

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// A manager of a later release may send fields and values that this server does not know. They may restrict what is allowed, so the
// server cannot use the record, and says so.

// firstIgnorable is the first number of fields that restrict nothing: a server that does not know them ignores them.
const firstIgnorable protowire.Number = 1000

// unknownField returns the number of a field that is not known and cannot be ignored, or 0.
func unknownField(message protoreflect.Message) protowire.Number {
	for unknown := message.GetUnknown(); len(unknown) > 0; {
		number, _, n := protowire.ConsumeField(unknown)
		if n < 0 {
			return 1 // protobuf does not keep what it cannot read
		}
		if number < firstIgnorable {
			return number
		}
		unknown = unknown[n:]
	}
	return 0
}

// unknownInKey returns an error if the record has a field that is not known.
func unknownInKey(key *syncv1.Key) error {
	number := unknownField(key.ProtoReflect())
	for _, version := range key.GetVersions() {
		number = max(number, unknownField(version.ProtoReflect()))
	}
	if rate := key.GetRate(); rate != nil {
		number = max(number, unknownField(rate.ProtoReflect()))
	}
	if number != 0 {
		return unknownError("", number)
	}
	return nil
}

func unknownError(where string, number protowire.Number) error {
	return fmt.Errorf("%sfield %d is of a later release: upgrade this validation server", where, number)
}

// unknownIn returns an error if a message has a field or a value of an enum that is not known, anywhere in it.
func unknownIn(message protoreflect.Message, where string) (err error) {
	if number := unknownField(message); number != 0 {
		return unknownError(where, number)
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		in := where + string(field.Name())
		switch {
		case field.IsMap():
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				if err = unknownIn(value.List().Get(i).Message(), fmt.Sprintf("%s[%d].", in, i)); err != nil {
					break
				}
			}
		case field.Message() != nil:
			err = unknownIn(value.Message(), in+".")
		case field.Enum() != nil && !field.IsList() && field.Enum().Values().ByNumber(value.Enum()) == nil:
			err = fmt.Errorf("%s: the value %d is of a later release: upgrade this validation server", in, value.Enum())
		}
		return err == nil
	})
	return err
}
