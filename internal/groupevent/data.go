package groupevent

// The data of events. A type only ever gets further fields, and never loses one. Instants are in RFC 3339.

// KeyCreated is the data of key.created.
type KeyCreated struct {
	Projects     []string `json:"projects,omitempty" doc:"that the key may reach"`
	Permissions  []string `json:"permissions,omitempty" doc:"of the key"`
	RestoredFrom string   `json:"restoredFrom,omitempty" doc:"is who created an earlier ApiKey of which this one is a copy, as its creator claims"`
	Request      string   `json:"request,omitempty" doc:"is the metadata.uid of the KeyRequest for which it was created"`
}

// KeyVersion is the data of events about a version.
type KeyVersion struct {
	Version   int64  `json:"version" doc:"is the id of the version in the ApiKey"`
	Preview   string `json:"preview,omitempty" doc:"is what may be shown of the key"`
	Cause     string `json:"cause,omitempty" doc:"is why the version was added"`
	ExpiresAt string `json:"expiresAt,omitempty" doc:"is when the version expires"`
}

// KeyRotated is the data of key.rotated.
type KeyRotated struct {
	Version   int64  `json:"version" doc:"is the id of the new version"`
	Replaced  int64  `json:"replaced" doc:"is the id of the version that it replaces"`
	Cause     string `json:"cause,omitempty" doc:"is why: Scheduled, Triggered, Requested, Replaced"`
	RetiresAt string `json:"retiresAt,omitempty" doc:"is when the overlap is to end"`
}

// KeyOverlapEnded is the data of key.overlap-ended.
type KeyOverlapEnded struct {
	Version int64  `json:"version" doc:"is the id of the version that is not accepted any more"`
	Lasted  string `json:"lasted,omitempty" doc:"is how long the overlap was"`
	How     string `json:"how,omitempty" doc:"is OnTime, Early (retireWhenUnusedFor) or Forced (somebody shortened it, asked for none, or the Secret was lost)"`
}

// Values of KeyOverlapEnded.How.
const (
	OverlapOnTime = "OnTime"
	OverlapEarly  = "Early"
	OverlapForced = "Forced"
)

// KeyLeaked is the data of key.leaked. It does not say where: that is an address.
type KeyLeaked struct {
	Version  int64  `json:"version" doc:"is the id of the version whose text was found"`
	Source   string `json:"source,omitempty" doc:"is who reported it"`
	Response string `json:"response,omitempty" doc:"is what was done about it"`
}

// Deleted is the data of events about deletions.
type Deleted struct {
	State string `json:"state,omitempty" doc:"is what the object was before"`
}

// Edited is the data of events about changes of a spec.
type Edited struct {
	Generation int64    `json:"generation" doc:"is metadata.generation of the object after the change"`
	Changes    []Change `json:"changes,omitempty" doc:"are the fields that the log records; there may be changes of others"`
}

// Change is a changed field.
type Change struct {
	Field  string `json:"field" doc:"is its path"`
	Before string `json:"before,omitempty" doc:"is the value before; of a list, what was removed; of values that are not recorded, the names of those that were removed or changed"`
	After  string `json:"after,omitempty" doc:"is the value after; of a list, what was added; of values that are not recorded, the names of those that were added or changed"`
}

// Created is the data of group.created and allowlist.created.
type Created struct {
	Changes []Change `json:"changes,omitempty" doc:"are the fields that the log records, with what they were created with"`
}

// LimitReached is the data of group.limit-reached.
type LimitReached struct {
	Limit  string `json:"limit" doc:"is the condition that became true, such as QuotaExceeded, or keys"`
	Reason string `json:"reason,omitempty" doc:"is its reason"`
	Key    string `json:"key,omitempty" doc:"is the name of the ApiKey that waits"`
}

// LimitOfKeys is the Limit of a LimitReached that is about how many ApiKeys a Group may have.
const LimitOfKeys = "keys"

// ServerChange is the data of group.server-absent and group.server-back.
type ServerChange struct {
	Server string `json:"server" doc:"is the name of the validation server, as in status; other servers stands for further ones, if many are absent"`
	Since  string `json:"since,omitempty" doc:"is since when it was absent"`
}

// RecordsRejected is the data of group.records-rejected. What the server says about it is in the status of the object.
type RecordsRejected struct {
	Server string `json:"server" doc:"is the name of the validation server"`
	Kind   string `json:"kind" doc:"is the kind of the object whose record it cannot use"`
	Name   string `json:"name" doc:"is the name of that object"`
}

// RequestsRefused is the data of group.requests-refused.
type RequestsRefused struct {
	Day      string        `json:"day" doc:"is the day (UTC) for which they count"`
	Requests int64         `json:"requests" doc:"is how many there were since the event before of that day"`
	Codes    []RefusedCode `json:"codes,omitempty" doc:"are their decision codes, the most frequent first"`
	// Origins are known to the leader only: an event has those that it knows.
	Origins []RefusedOrigin `json:"origins,omitempty" doc:"are those from which most requests were refused with origin_denied, at most 5, as far as the leader knows them"`
}

// RefusedOrigin counts requests that were refused for their origin.
type RefusedOrigin struct {
	Origin   string `json:"origin" doc:"is scheme://host"`
	Requests int64  `json:"requests" doc:"is how many there were, about"`
}

// RefusedCode counts refused requests with one decision code.
type RefusedCode struct {
	Code     string `json:"code" doc:"is the decision code"`
	Requests int64  `json:"requests" doc:"is how many there were since the event before of that day"`
	OfDay    int64  `json:"ofDay" doc:"is how many there were on that day so far"`
}

// RequestCreated is the data of request.created.
type RequestCreated struct {
	Projects    []string `json:"projects,omitempty" doc:"that are asked for"`
	Permissions []string `json:"permissions,omitempty" doc:"that are asked for"`
	UseCase     string   `json:"useCase,omitempty" doc:"is what who asks says that the key is for, at most 500 characters"`
	Lifetime    string   `json:"lifetime,omitempty" doc:"is how long the key is to live; without it, as long as the Group says"`
}

// RequestDecided is the data of request.approved, request.refused and request.withdrawn.
type RequestDecided struct {
	Reason string `json:"reason,omitempty" doc:"is what who decided says to who asks, at most 500 characters"`
}

// RequestEnded is the data of request.ended.
type RequestEnded struct {
	How string `json:"how" doc:"is Deleted or Expired, 30 days after it was created"`
}

// Values of RequestEnded.How.
const (
	RequestDeleted = "Deleted"
	RequestExpired = "Expired"
)

// KeyExpiring is the data of notice.key-expiring.
type KeyExpiring struct {
	Version   int64  `json:"version" doc:"is the id of the version that ends last"`
	Days      int64  `json:"days" doc:"is how many days before its end the notice is due"`
	ExpiresAt string `json:"expiresAt" doc:"is when it ends"`
}

// KeyUnclaimed is the data of notice.key-unclaimed.
type KeyUnclaimed struct {
	Version int64  `json:"version" doc:"is the id of the version"`
	Until   string `json:"until" doc:"is when its text is removed"`
}

// CutoverPending is the data of notice.cutover-pending.
type CutoverPending struct {
	Version int64  `json:"version" doc:"is the id of the version that is still used"`
	Until   string `json:"until" doc:"is until when it is accepted"`
}

// KeyUnused is the data of notice.key-unused.
type KeyUnused struct {
	Since string `json:"since" doc:"is when the key was used or resumed last, or else when it was first accepted"`
}

// KeyQuotaReached is the data of notice.key-quota-reached.
type KeyQuotaReached struct {
	Period  string `json:"period" doc:"is the period of the quota, such as 2026-11"`
	Quota   int64  `json:"quota" doc:"is how many requests the key may use in it"`
	Used    int64  `json:"used" doc:"is how many of them are used"`
	Percent int64  `json:"percent" doc:"of them are used, or more: 75, 90, 100 or 120"`
}

// QuotaReached is the data of notice.quota-reached.
type QuotaReached struct {
	Period  string `json:"period" doc:"is the period of the quota, such as 2026-11"`
	Limit   string `json:"limit" doc:"is the quota: requestsPerMonth or bytesPerMonth"`
	Quota   int64  `json:"quota" doc:"is how many requests or bytes that is"`
	Used    int64  `json:"used" doc:"is how much of it is used"`
	Percent int64  `json:"percent" doc:"of it are used, or more: 75, 90, 100 or 120"`
}

// QuotaForecast is the data of notice.quota-forecast.
type QuotaForecast struct {
	Period   string `json:"period" doc:"is the period of the quota, such as 2026-11"`
	Limit    string `json:"limit" doc:"is the quota: requestsPerMonth or bytesPerMonth"`
	Quota    int64  `json:"quota" doc:"is how many requests or bytes that is"`
	Used     int64  `json:"used" doc:"is how much of it is used"`
	UsedUpAt string `json:"usedUpAt" doc:"is when it will be used up"`
}

// UsageUnusual is the data of notice.usage-unusual.
type UsageUnusual struct {
	Day      string `json:"day" doc:"is the day, such as 2026-11-27"`
	Requests int64  `json:"requests" doc:"were allowed on that day until it was found"`
	Median   int64  `json:"median" doc:"is that of the 14 days before"`
}
