package store

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store/keytable"
)

// This file does protobuf's work by hand, for the one message of which there are many: a server that starts with a million
// keys reads each of them, and messages would be ten million temporary objects. Tests hold it equal to protobuf,
// byte for byte, and fail if a field of sync.proto is not handled here.

// The numbers of the fields in sync.proto.
const (
	updateGroups protowire.Number = 2
	updateKeys   protowire.Number = 3

	updateVersions protowire.Number = 9

	keyID          protowire.Number = 1
	keyGroup       protowire.Number = 2
	keyProjects    protowire.Number = 4
	keyPermissions protowire.Number = 5
	keySuspended   protowire.Number = 6
	keyVersions    protowire.Number = 7
	keyRate        protowire.Number = 8
	keyClients     protowire.Number = 9
	keyAddresses   protowire.Number = 10
	keyQuota       protowire.Number = 12

	ratePerSecond protowire.Number = 1
	rateBurst     protowire.Number = 2

	versionDigest  protowire.Number = 1
	versionExpires protowire.Number = 2
	versionRetires protowire.Number = 3
	versionRevoked protowire.Number = 4
	versionURL     protowire.Number = 5
)

// keyRecord is a syncv1.Key. Its memory is reused for the next one.
type keyRecord struct {
	id []byte
	// scope is the encoding of the fields from keyGroup to keyPermissions and, from rateAt on, of those from keyRate on: the
	// fields that most keys share with others.
	scope     []byte
	rateAt    int
	suspended bool
	versions  []keytable.Version
	// entry is a buffer for an entry of the context, and lastName the name in the one that was decoded last.
	entry, lastName []byte
}

func (k *keyRecord) reset() {
	*k = keyRecord{id: k.id[:0], scope: k.scope[:0], versions: k.versions[:0], entry: k.entry[:0]}
}

// set sets the record from a message. It returns how many versions were left out because their digest is not one.
func (k *keyRecord) set(wire *syncv1.Key) (leftOut int) {
	k.reset()
	k.id = append(k.id, wire.GetId()...)
	if group := wire.GetGroup(); group != "" {
		k.scope = appendField(k.scope, keyGroup, group)
	}
	for _, project := range wire.GetProjects() {
		k.scope = appendField(k.scope, keyProjects, project)
	}
	for _, permission := range wire.GetPermissions() {
		k.scope = appendField(k.scope, keyPermissions, permission)
	}
	k.rateAt = len(k.scope)
	if rate := wire.GetRate(); rate != nil {
		k.appendRate(rate.GetPerSecond(), rate.GetBurst())
	}
	k.appendClients(wire)
	k.appendContext(wire.GetContext())
	k.appendQuota(wire.GetQuota())
	k.suspended = wire.GetSuspended()
	for _, v := range wire.GetVersions() {
		if len(v.GetDigest()) != len(keyformat.Digest{}) {
			leftOut++
			continue
		}
		k.versions = append(k.versions, keytable.Version{
			Digest:  keyformat.Digest(v.GetDigest()),
			Version: decision.Version{ExpiresAtMillis: v.GetExpiresAtMs(), RetiresAtMillis: v.GetRetiresAtMs(), Revoked: v.GetRevoked()},

			URLSecret: string(v.GetUrlSecret()),
		})
	}
	return leftOut
}

func (k *keyRecord) appendRate(perSecond, burst uint32) {
	var scratch [16]byte // more than a rate ever takes
	encoded := appendNumber(scratch[:0], ratePerSecond, uint64(perSecond))
	k.scope = appendField(k.scope, keyRate, appendNumber(encoded, rateBurst, uint64(burst)))
}

// decodeScope returns a message with the fields of a scope.
func decodeScope(scope []byte) (*syncv1.Key, error) {
	wire := &syncv1.Key{}
	return wire, proto.Unmarshal(scope, wire)
}

// decode reads the encoding of a message if it has the form that encodeKey produces. If it returns false, the encoding may
// have another form, or be malformed: protobuf finds out.
func (k *keyRecord) decode(encoded []byte) bool {
	k.reset()
	rated, restricted, limited := false, false, false
	for last := keyID; len(encoded) > 0; {
		number, value, bits, n := consume(encoded, last)
		if n < 0 {
			return false
		}
		encoded, last = encoded[n:], number
		switch {
		case number == keySuspended && value == nil:
			k.suspended = bits != 0
			continue
		case number == keyClients && value == nil:
			if restricted || !k.decodeClients(bits) {
				return false
			}
			restricted = true
			continue
		case number == keyQuota && value == nil:
			if limited || bits != 1 {
				return false
			}
			k.appendQuota(true)
			limited = true
			continue
		case value == nil:
			return false
		case number == keyVersions:
			k.versions = append(k.versions, keytable.Version{})
			if !decodeVersion(&k.versions[len(k.versions)-1], value) {
				return false
			}
			continue
		case number == keyRate:
			if rated || !k.decodeRate(value) {
				return false
			}
			rated = true
			continue
		case number == keyContext:
			if !k.decodeContext(value) {
				return false
			}
			continue
		case !utf8.Valid(value):
			return false
		case number == keyAddresses:
			k.scope = appendField(k.scope, number, value)
			continue
		}
		switch number {
		case keyID:
			k.id = append(k.id[:0], value...)
		case keyGroup:
			if len(k.scope) > 0 || len(value) == 0 {
				return false
			}
			k.scope = appendField(k.scope, number, value)
		case keyProjects, keyPermissions:
			k.scope = appendField(k.scope, number, value)
		default:
			return false
		}
		k.rateAt = len(k.scope)
	}
	return true
}

func (k *keyRecord) decodeRate(encoded []byte) bool {
	var perSecond, burst uint64
	for last := ratePerSecond; len(encoded) > 0; {
		number, value, bits, n := consume(encoded, last)
		if n < 0 || value != nil || bits > math.MaxUint32 {
			return false
		}
		encoded, last = encoded[n:], number
		switch number {
		case ratePerSecond:
			perSecond = bits
		case rateBurst:
			burst = bits
		default:
			return false
		}
	}
	k.appendRate(uint32(perSecond), uint32(burst))
	return true
}

func decodeVersion(v *keytable.Version, encoded []byte) bool {
	found := false
	for last := versionDigest; len(encoded) > 0; {
		number, value, bits, n := consume(encoded, last)
		if n < 0 {
			return false
		}
		encoded, last = encoded[n:], number
		switch {
		case number == versionDigest:
			if found = len(value) == len(v.Digest); !found {
				return false
			}
			v.Digest = keyformat.Digest(value)
		case number == versionURL && len(value) == urltoken.SecretSize:
			v.URLSecret = string(value)
		case value != nil:
			return false
		case number == versionExpires:
			v.ExpiresAtMillis = int64(bits)
		case number == versionRetires:
			v.RetiresAtMillis = int64(bits)
		case number == versionRevoked:
			v.Revoked = bits != 0
		default:
			return false
		}
	}
	return found
}

// consume reads the next field: bytes, which are never nil, or a number. The length is negative if the field is of another
// kind, malformed, or of a smaller number than the last one.
func consume(encoded []byte, last protowire.Number) (number protowire.Number, value []byte, bits uint64, length int) {
	number, kind, start := protowire.ConsumeTag(encoded)
	if start < 0 || number < last {
		return 0, nil, 0, -1
	}
	n := -1
	switch kind {
	case protowire.BytesType:
		value, n = protowire.ConsumeBytes(encoded[start:])
	case protowire.VarintType:
		bits, n = protowire.ConsumeVarint(encoded[start:])
	}
	if n < 0 {
		return 0, nil, 0, -1
	}
	return number, value, bits, start + n
}

// encodeKey appends the encoding of a key: what decode reads.
func encodeKey[T string | []byte](buf []byte, id, scope, rate T, suspended bool, versions []keytable.Version) []byte {
	if len(id) > 0 {
		buf = appendField(buf, keyID, id)
	}
	buf = append(buf, scope...)
	if suspended {
		buf = appendNumber(buf, keySuspended, 1)
	}
	for i := range versions {
		v := &versions[i]
		var scratch [128]byte // more than a version ever takes
		encoded := appendField(scratch[:0], versionDigest, v.Digest[:])
		encoded = appendNumber(encoded, versionExpires, uint64(v.ExpiresAtMillis))
		encoded = appendNumber(encoded, versionRetires, uint64(v.RetiresAtMillis))
		if v.Revoked {
			encoded = appendNumber(encoded, versionRevoked, 1)
		}
		if v.URLSecret != "" {
			encoded = appendField(encoded, versionURL, v.URLSecret)
		}
		buf = appendField(buf, keyVersions, encoded)
	}
	return append(buf, rate...)
}

func appendField[T string | []byte](buf []byte, number protowire.Number, value T) []byte {
	buf = protowire.AppendTag(buf, number, protowire.BytesType)
	return append(protowire.AppendVarint(buf, uint64(len(value))), value...)
}

// appendNumber omits 0, as protobuf does.
func appendNumber(buf []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return buf
	}
	return protowire.AppendVarint(protowire.AppendTag(buf, number, protowire.VarintType), value)
}
