package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

var (
	errUnknownField = errors.New("the request has an unknown field; the fields are " + strings.Join(fields(), ", "))
	errTwice        = errors.New("a field or a header occurs twice, so that another reader of the body might use the other " +
		"one; send it once")
)

// fields returns the names of a request's fields.
func fields() []string {
	var names []string
	for field := range reflect.TypeFor[verifyRequest]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// checkNames refuses what package encoding/json accepts and others read differently: fields that occur twice, and
// fields in another case. The decoder refuses what is not JSON.
func checkNames(body []byte) error {
	if !json.Valid(body) { // a Decoder that has failed reports forever that there is more
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil //nolint:nilerr // for the decoder to refuse
	}
	known := map[string]bool{} // true: seen
	for _, name := range fields() {
		known[name] = false
	}
	return eachMember(decoder, func(name string) error {
		seen, ok := known[name]
		switch {
		case !ok:
			return errUnknownField
		case seen:
			return errTwice
		}
		known[name] = true
		return checkValue(decoder)
	})
}

// checkValue refuses members of objects within the value that occur twice. Header names in another case are lines of
// the same header, which the decision refuses.
func checkValue(decoder *json.Decoder) error {
	token, err := decoder.Token()
	if err != nil {
		return nil //nolint:nilerr // for the decoder to refuse
	}
	switch token {
	case json.Delim('['):
		for decoder.More() {
			if err := checkValue(decoder); err != nil {
				return err
			}
		}
		_, _ = decoder.Token()
	case json.Delim('{'):
		seen := map[string]bool{}
		return eachMember(decoder, func(name string) error {
			if seen[name] {
				return errTwice
			}
			seen[name] = true
			return checkValue(decoder)
		})
	}
	return nil
}

func eachMember(decoder *json.Decoder, check func(name string) error) error {
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil //nolint:nilerr // for the decoder to refuse
		}
		if err := check(name); err != nil {
			return err
		}
	}
	_, _ = decoder.Token() // the end of the object
	return nil
}
