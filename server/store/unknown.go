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

// unknownIn returns the first field and the first value of an enum that is not known, anywhere in a message, as errors.
func unknownIn(message protoreflect.Message, where string) (field, value error) {
	if number := unknownField(message); number != 0 {
		field = unknownError(where, number)
	}
	within := func(m protoreflect.Message, where string) {
		inField, inValue := unknownIn(m, where)
		if field == nil {
			field = inField
		}
		if value == nil {
			value = inValue
		}
	}
	known := func(enum protoreflect.EnumDescriptor, number protoreflect.EnumNumber, in string) {
		if value == nil && enum.Values().ByNumber(number) == nil {
			value = fmt.Errorf("%s: the value %d is of a later release: upgrade this validation server", in, number)
		}
	}
	message.Range(func(of protoreflect.FieldDescriptor, is protoreflect.Value) bool {
		in := where + string(of.Name())
		switch {
		case of.IsMap():
		case of.IsList() && of.Message() != nil:
			for i := range is.List().Len() {
				within(is.List().Get(i).Message(), fmt.Sprintf("%s[%d].", in, i))
			}
		case of.Message() != nil:
			within(is.Message(), in+".")
		case of.Enum() != nil && of.IsList():
			for i := range is.List().Len() {
				known(of.Enum(), is.List().Get(i).Enum(), in)
			}
		case of.Enum() != nil:
			known(of.Enum(), is.Enum(), in)
		}
		return true
	})
	return field, value
}
