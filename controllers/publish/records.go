package publish

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/addresses"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/tier"
)

var keyIDs = base32.HexEncoding.WithPadding(base32.NoPadding)

// KeyID is the id of the ApiKey with the UID: it never changes, is never used again, and is short enough for a log line.
func KeyID(uid types.UID) string {
	sum := sha256.Sum256([]byte(uid))
	return "k" + strings.ToLower(keyIDs.EncodeToString(sum[:10]))
}

// KeyRecord is the published form of a key, with what its Group grants. It is nil for a key that is not published: one without
// versions, or one that its Group refuses.
func KeyRecord(key *v1alpha1.ApiKey, granted grant.Granted) *syncv1.Key {
	if len(key.Status.Versions) == 0 || lifecycle.Refusal(key, granted) != nil {
		return nil
	}
	groupNamespace, groupName := grant.GroupKey(key.Spec.GroupRef, key.Namespace)
	record := &syncv1.Key{
		Id:          KeyID(key.UID),
		Group:       groupNamespace + "/" + groupName,
		Projects:    toStrings(granted.Projects),
		Permissions: toStrings(granted.Permissions),
		Suspended:   key.Spec.Suspended != nil && *key.Spec.Suspended,
		Rate:        rateRecord(key.Spec.Limits.RateLimit),
		Clients:     clientsRecord(key.Spec.Clients),
		Addresses:   addresses.Canonical(key.Spec.Addresses),
		Context:     contextRecord(granted.Context),
		Quota:       key.Spec.Limits.RequestsPerMonth != nil,
	}
	revoked := lifecycle.Revoked(key)
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		read, err := keyformat.ReadDigest(v.Digest)
		if err != nil {
			continue // the schema allows no other form
		}
		version := &syncv1.Version{
			Digest:  read.Digest[:],
			Revoked: revoked || v.State == v1alpha1.VersionRevoked,
		}
		if v.ExpiresAt != nil {
			version.ExpiresAtMs = v.ExpiresAt.UnixMilli()
		}
		if v.RetiresAt != nil {
			version.RetiresAtMs = v.RetiresAt.UnixMilli()
		}
		record.Versions = append(record.Versions, version)
	}
	return record
}

// GroupRecord is the published form of a group with the allowlists that refer to it and that it admits. Those that are
// beyond the bounds allow nothing, and neither do routes that are too large.
func GroupRecord(group *v1alpha1.Group, allowlists []*v1alpha1.DomainAllowlist) *syncv1.Group {
	record := fromStatus(group)
	record.Namespace, record.Name = group.Namespace, group.Name
	record.DisplayName = cmp.Or(group.Spec.DisplayName, group.Name)
	record.State = groupState(group.Spec.State)
	record.Caching = caching(group.Spec.Caching)
	record.AcceptIn = locations(group.Spec.KeyPolicy.AcceptIn)
	record.Context = contextRecord(group.Spec.Context)
	record.RequireAddresses = grant.RequiresAddresses(group)
	routes, public := routeRecords, func(p *v1alpha1.Project) []string { return p.Public }
	if grant.RoutesTooLarge(group) { // servers would keep none of them
		routes = func([]v1alpha1.Route) []*syncv1.Route { return nil }
		public = func(*v1alpha1.Project) []string { return nil }
	}
	if len(group.Spec.Projects) == 0 {
		record.Projects = []*syncv1.Project{{Name: string(v1alpha1.DefaultProject), OwnsAll: true}}
	}
	for i := range group.Spec.Projects {
		project := &group.Spec.Projects[i]
		record.Projects = append(record.Projects, &syncv1.Project{
			Name: string(project.Name), Routes: routes(project.Routes), PublicPaths: public(project),
		})
	}
	setOrigins(record, allowlists)
	for i := range group.Spec.Capabilities {
		capability := &group.Spec.Capabilities[i]
		record.Capabilities = append(record.Capabilities, &syncv1.Capability{
			Name: string(capability.Name), Routes: routes(capability.Routes), Cost: costRecord(capability.Cost),
		})
	}
	return record
}

// fromStatus is the part of a Group's record that depends on its status. Nothing else of the record does: see groupMatters.
func fromStatus(group *v1alpha1.Group) *syncv1.Group {
	return &syncv1.Group{
		Tier: tierOf(group), Limits: limitsRecord(group), QuotaPeriod: periodRecord(tier.Schedule(group)), SealedContext: sealedRecord(group),
	}
}

// contextRecord is nil where there is no context.
func contextRecord(declared map[string]v1alpha1.ContextValue) map[string]string {
	if len(declared) == 0 {
		return nil
	}
	record := make(map[string]string, len(declared))
	for name, value := range declared {
		record[name] = string(value)
	}
	return record
}

func routeRecords(routes []v1alpha1.Route) []*syncv1.Route {
	records := make([]*syncv1.Route, 0, len(routes))
	for i := range routes {
		route := &routes[i]
		record := &syncv1.Route{Methods: route.Methods, Hosts: route.Hosts, Paths: route.Paths}
		for _, name := range slices.Sorted(maps.Keys(route.Query)) {
			record.Query = append(record.Query, &syncv1.QueryMatch{Name: name, Values: route.Query[name]})
		}
		records = append(records, record)
	}
	return records
}

// limitsRecord is the part of a Group's limits that servers have to know; nil if there is none. How much of a quota is left
// is sent separately, as allowances.
func limitsRecord(group *v1alpha1.Group) *syncv1.Limits {
	limits := tier.InForce(group)
	record := &syncv1.Limits{
		RequestQuota: limits.RequestsPerMonth != nil, ByteQuota: limits.BytesPerMonth != nil, Rate: rateRecord(limits.RateLimit),
	}
	if !record.RequestQuota && !record.ByteQuota {
		if record.Rate == nil {
			return nil
		}
		return record
	}
	record.Overage = syncv1.Overage_OVERAGE_BLOCK
	if limits.Overage == v1alpha1.OverageMeter {
		record.Overage = syncv1.Overage_OVERAGE_METER
	}
	record.DenyUnknown = limits.QuotaFailurePolicy == v1alpha1.QuotaFailureDeny
	return record
}

// rateRecord is nil where there is no rate; a burst alone has no meaning.
func rateRecord(limit v1alpha1.RateLimit) *syncv1.RateLimit {
	rate := limit.RequestsPerSecond
	if rate == nil || *rate < 1 {
		return nil
	}
	burst := rate
	if limit.Burst != nil && *limit.Burst >= 1 {
		burst = limit.Burst
	}
	return &syncv1.RateLimit{PerSecond: uint32(*rate), Burst: uint32(*burst)}
}

// tierOf is the tier that the Group's limits come from.
func tierOf(group *v1alpha1.Group) string {
	if group.Status.Limits == nil {
		return ""
	}
	return group.Status.Limits.Tier
}

func groupState(state v1alpha1.GroupState) syncv1.GroupState {
	switch state {
	case v1alpha1.GroupFrozen:
		return syncv1.GroupState_GROUP_STATE_FROZEN
	case v1alpha1.GroupSuspended:
		return syncv1.GroupState_GROUP_STATE_SUSPENDED
	default:
		return syncv1.GroupState_GROUP_STATE_ACTIVE
	}
}

// caching is shared only where the Group declares it.
func caching(declared v1alpha1.Caching) syncv1.Caching {
	if declared == v1alpha1.CachingShared {
		return syncv1.Caching_CACHING_SHARED
	}
	return syncv1.Caching_CACHING_UNSPECIFIED
}

// clientsRecord takes a value that it does not know for the one that excludes browsers: the schema allows none.
func clientsRecord(declared v1alpha1.Clients) syncv1.Clients {
	switch declared {
	case "", v1alpha1.ClientsAny:
		return syncv1.Clients_CLIENTS_UNSPECIFIED
	case v1alpha1.ClientsBrowser:
		return syncv1.Clients_CLIENTS_BROWSER
	default:
		return syncv1.Clients_CLIENTS_SERVER
	}
}

// NoRecord is the RecordID of a record that is not published.
const NoRecord = "none"

// RecordID identifies the content of a record. It shows whether the content that was enforced is the content that is
// declared now. The id of a nil record is NoRecord.
func RecordID(record proto.Message) string {
	if group, is := record.(*syncv1.Group); is && group != nil {
		record, _ = withinBounds(group)
	}
	if record == nil || !record.ProtoReflect().IsValid() {
		return NoRecord
	}
	// Marshal fails only on invalid UTF-8, which the API server never stores.
	encoded, _ := proto.MarshalOptions{Deterministic: true}.Marshal(record)
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}

func toStrings[T ~string](names []T) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, string(name))
	}
	return out
}
