package v1alpha1

// Types of conditions. controllers/conditions has the table of the reasons that each may have, and
// docs/conditions.md is made of that table and of these comments.
const (
	// ConditionReady: the declared state is reached, also where that is to be suspended, revoked or frozen.
	ConditionReady = "Ready"
	// ConditionReconciling: Keyward is at work on the object.
	ConditionReconciling = "Reconciling"
	// ConditionStalled: Keyward waits for somebody to act; the message names the field and what fixes it.
	ConditionStalled = "Stalled"
	// ConditionAccepted: validation servers accept the key. It turns true when a version is delivered and every
	// validation server has it, and false when the key is declared to be refused; `Enforced` says how far that is
	// in force.
	ConditionAccepted = "Accepted"
	// ConditionEnforced: the latest change is in force on every validation server.
	ConditionEnforced = "Enforced"
	// ConditionExpiringSoon: the key ends within 14 days, or it is in the second half of a shorter life, and it
	// does not rotate automatically before.
	ConditionExpiringSoon = "ExpiringSoon"
	// ConditionCutoverPending: a version whose overlap is about to end is still used.
	ConditionCutoverPending = "CutoverPending"
	// ConditionSecretContested: something else keeps overwriting or deleting the key in its Secret; the message names its
	// field manager. Replacements wait longer each time. It ends 10 minutes after the last loss.
	ConditionSecretContested = "SecretContested"
	// ConditionFollowUpPending: the key is delivered, and workloads could not be rolled, or others not notified; the message names
	// them. It is tried again every minute.
	ConditionFollowUpPending = "FollowUpPending"
	// ConditionLeaked: the text of a version that is still accepted was reported as found in public; the message says where, and what
	// was done about it. It ends when that version ends.
	ConditionLeaked = "Leaked"
	// ConditionUnused: no request was allowed with the key for as long as the Group's keyPolicy says, and every validation server has
	// reported; the message says since when, and when it will be suspended for that.
	ConditionUnused = "Unused"
	// ConditionTierResolved: the catalogue has the tier that the Group names; absent where it names none.
	ConditionTierResolved = "TierResolved"
	// ConditionContextSealed: every value of `spec.sealedContext` is sealed for content servers; absent where there is none.
	ConditionContextSealed = "ContextSealed"
	// ConditionQuotaLow: 80 % of a quota of the running period are used; absent where the Group has no quota.
	ConditionQuotaLow = "QuotaLow"
	// ConditionQuotaExceeded: a quota of the running period is used up; absent where the Group has no quota.
	ConditionQuotaExceeded = "QuotaExceeded"
	// ConditionRoutesOverlap: two projects claim the same requests equally well; such requests go to the first of
	// them by name.
	ConditionRoutesOverlap = "RoutesOverlap"
	// ConditionSinksDelivering: every sink of the Installation is ready; the message names those that are not.
	ConditionSinksDelivering = "SinksDelivering"
	// ConditionValidatorsCurrent: every validation server that may decide is connected, has every update, and can use it; the message names
	// those of which that is not true.
	ConditionValidatorsCurrent = "ValidatorsCurrent"
)

// Reasons of conditions and events.
const (
	// ReasonLeakReported: a scanner has reported the text of a version.
	ReasonLeakReported = "LeakReported"
	// ReasonNotUsed: no request was allowed with the key for keyPolicy.warnUnusedFor.
	ReasonNotUsed = "NotUsed"
	// ReasonReady: the object is in force as declared.
	ReasonReady = "Ready"
	// ReasonAccepted: validation servers accept the key.
	ReasonAccepted = "Accepted"
	// ReasonPending: no version of the key is delivered yet.
	ReasonPending = "Pending"
	// ReasonPublishing: validation servers are taking over a change or a new version.
	ReasonPublishing = "Publishing"
	// ReasonAcknowledged: every validation server has the change in force.
	ReasonAcknowledged = "Acknowledged"
	// ReasonNoServers: no validation server is connected that the change is for.
	ReasonNoServers = "NoServers"
	// ReasonWaitingForServers: servers have not acknowledged; `status.enforcement.waitingFor` names them.
	ReasonWaitingForServers = "WaitingForServers"
	// ReasonRecordsRejected: servers have received the change and cannot use it; `status.enforcement.rejecting` names them.
	ReasonRecordsRejected = "RecordsRejected"
	// ReasonServersDisconnected: servers disconnected before they acknowledged; `status.enforcement.disconnected` names them.
	ReasonServersDisconnected = "ServersDisconnected"

	// ReasonGroupNotFound: groupRef names no Group; of a KeyRequest: none that accepts requests from this namespace.
	ReasonGroupNotFound = "GroupNotFound"
	// ReasonNamespaceNotAllowed: the Group does not admit references from this namespace.
	ReasonNamespaceNotAllowed = "NamespaceNotAllowed"
	// ReasonProjectNotFound: the Group has no project of a given name; an ApiKey that was delivered goes on with its others.
	ReasonProjectNotFound = "ProjectNotFound"
	// ReasonPermissionNotFound: the Group has no capability of a given name; an ApiKey that was delivered goes on with its others.
	ReasonPermissionNotFound = "PermissionNotFound"
	// ReasonAddressesRequired: the Group requires addresses, and the ApiKey declares none; one that was delivered is accepted from none.
	ReasonAddressesRequired = "AddressesRequired"
	// ReasonContextNotAllowed: the Group does not let keys set a given name of the context; an ApiKey that was delivered goes on
	// without it.
	ReasonContextNotAllowed = "ContextNotAllowed"
	// ReasonGroupFrozen: the Group's state is Frozen.
	ReasonGroupFrozen = "GroupFrozen"
	// ReasonGroupSuspended: the Group's state is Suspended.
	ReasonGroupSuspended = "GroupSuspended"
	// ReasonSuspended: the ApiKey is suspended.
	ReasonSuspended = "Suspended"
	// ReasonRevoked: the ApiKey, or a version of it, is revoked.
	ReasonRevoked = "Revoked"
	// ReasonExpired: the key, or a version of it, has expired.
	ReasonExpired = "Expired"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonLifetimeNotAllowed: the Group's keyPolicy does not allow the expiry.
	ReasonLifetimeNotAllowed = "LifetimeNotAllowed"
	// ReasonSecretConflict: a Secret of the name exists that is not the ApiKey's.
	ReasonSecretConflict = "SecretConflict"
	// ReasonSecretRefused: the API server refuses to write the Secret.
	ReasonSecretRefused = "SecretRefused"
	// ReasonSecretTemplateInvalid: the Secret template cannot be rendered.
	ReasonSecretTemplateInvalid = "SecretTemplateInvalid"
	// ReasonAllowlistsTooLarge: the Group's DomainAllowlists have more domains than a Group may have; this one allows nothing.
	ReasonAllowlistsTooLarge = "AllowlistsTooLarge"
	// ReasonRecordTooLarge: validation servers cannot be sent the Group, and refuse its keys.
	ReasonRecordTooLarge = "RecordTooLarge"
	// ReasonInvalidSpec: a field has a value that the schema could not refuse.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonManageRequired: the user may not set fields of a Group that are the platform's.
	ReasonManageRequired = "ManageRequired"
	// ReasonDeletionPrevented: an annotation prevents the deletion of the object.
	ReasonDeletionPrevented = "DeletionPrevented"
	// ReasonNoOverlap: no two projects claim the same requests equally well.
	ReasonNoOverlap = "NoOverlap"
	// ReasonRoutesOverlap: the message names the projects and routes.
	ReasonRoutesOverlap = "RoutesOverlap"

	// ReasonExpiresAt: the message says when the key ends, and how to keep it.
	ReasonExpiresAt = "ExpiresAt"
	// ReasonStillUsed: the message says which version is used, since when, and from how many clients.
	ReasonStillUsed = "StillUsed"
	// ReasonImportRefused: importFrom names something that cannot be imported as a key.
	ReasonImportRefused = "ImportRefused"
	// ReasonRestoreRefused: the Secret of an earlier ApiKey of the name cannot be taken over.
	ReasonRestoreRefused = "RestoreRefused"
	// ReasonTextRevoked: the text that was to be restored or imported was revoked, deleted or retired before.
	ReasonTextRevoked = "TextRevoked"
	// ReasonRestartRefused: a workload of secret.restart cannot be rolled.
	ReasonRestartRefused = "RestartRefused"
	// ReasonNotifyRefused: an object of secret.notify cannot be notified.
	ReasonNotifyRefused = "NotifyRefused"
	// ReasonKeyLost: the key was lost from its Secret three times in a row; the message says to what.
	ReasonKeyLost = "KeyLost"

	// ReasonUndecided: nobody has decided about the KeyRequest.
	ReasonUndecided = "Undecided"
	// ReasonApproved: the KeyRequest is approved, and its ApiKey is about to be created.
	ReasonApproved = "Approved"
	// ReasonRequestRefused: the KeyRequest was refused; the message says by whom and why.
	ReasonRequestRefused = "RequestRefused"
	// ReasonApprovalWithdrawn: the approval of the KeyRequest was withdrawn, and its ApiKey is revoked; the message says by whom and why.
	ReasonApprovalWithdrawn = "ApprovalWithdrawn"
	// ReasonRequestExpired: nobody decided about the KeyRequest for 30 days.
	ReasonRequestExpired = "RequestExpired"
	// ReasonTooManyRequests: nobody has decided about too many older KeyRequests of the namespace or of the Group.
	ReasonTooManyRequests = "TooManyRequests"
	// ReasonNameTaken: an ApiKey of the name of the KeyRequest exists that was not created for it.
	ReasonNameTaken = "NameTaken"
	// ReasonKeyDeleted: the ApiKey of the KeyRequest was deleted.
	ReasonKeyDeleted = "KeyDeleted"
	// ReasonKeyRefused: the API server refuses to create the ApiKey of the KeyRequest; the message says why.
	ReasonKeyRefused = "KeyRefused"
	// ReasonApproveRequired: the user may not decide about requests for keys of the Group.
	ReasonApproveRequired = "ApproveRequired"

	// ReasonCreated: a default key is created with its Group.
	ReasonCreated = "Created"
	// ReasonTierFound: the tier is in the catalogue.
	ReasonTierFound = "TierFound"
	// ReasonTierNotFound: the catalogue has no such tier; the limits stay as they were.
	ReasonTierNotFound = "TierNotFound"
	// ReasonSealed: every value is sealed.
	ReasonSealed = "Sealed"
	// ReasonSecretUnusable: a Secret or an entry of it is missing, empty or too large; what needs it is not sent.
	ReasonSecretUnusable = "SecretUnusable"
	// ReasonNoSealingKey: the manager has no key to seal with; values that were sealed before stay as they are.
	ReasonNoSealingKey = "NoSealingKey"
	// ReasonKeyLimitReached: the Group has as many ApiKeys as it may have.
	ReasonKeyLimitReached = "KeyLimitReached"
	// ReasonQuotaUsed: the message says how much of which quota is used.
	ReasonQuotaUsed = "QuotaUsed"
	// ReasonUsageDeleted: somebody has deleted the GroupUsage of the Group; the message says what is left.
	ReasonUsageDeleted = "UsageDeleted"

	// ReasonDelivering: nothing that a sink should have was refused or failed.
	ReasonDelivering = "Delivering"
	// ReasonNoSinks: no sinks are configured.
	ReasonNoSinks = "NoSinks"
	// ReasonSinksFailing: some sinks are not ready; `status.sinks` says why.
	ReasonSinksFailing = "SinksFailing"
	// ReasonStarting: the leader has not loaded yet how far sinks are; nothing is sent until then.
	ReasonStarting = "Starting"
	// ReasonAddressNotAllowed: the receiver's address is a private one, or not among those that the sink allows.
	ReasonAddressNotAllowed = "AddressNotAllowed"
	// ReasonCertificateNotTrusted: the receiver has no certificate that is trusted.
	ReasonCertificateNotTrusted = "CertificateNotTrusted"
	// ReasonReceiverTimeout: the receiver has not answered in time.
	ReasonReceiverTimeout = "ReceiverTimeout"
	// ReasonConnectionFailed: the receiver cannot be connected to.
	ReasonConnectionFailed = "ConnectionFailed"
	// ReasonReceiverRedirects: the receiver answers with a redirect, which is not followed.
	ReasonReceiverRedirects = "ReceiverRedirects"
	// ReasonReceiverUnavailable: the receiver answers that it cannot take events, or that it does not let Keyward send any.
	ReasonReceiverUnavailable = "ReceiverUnavailable"
	// ReasonEventsRefused: the receiver refuses events that it was sent.
	ReasonEventsRefused = "EventsRefused"
	// ReasonFileUnusable: a file of the sink cannot be read or written.
	ReasonFileUnusable = "FileUnusable"
	// ReasonServersCurrent: all validation servers have every update.
	ReasonServersCurrent = "ServersCurrent"
	// ReasonServersRejecting: validation servers cannot use some record; `status.validators.servers` says why.
	ReasonServersRejecting = "ServersRejecting"
	// ReasonServersBehind: validation servers have lacked an update for more than 10 seconds.
	ReasonServersBehind = "ServersBehind"
	// ReasonServersGone: validation servers were disconnected without a goodbye, and may go on deciding by what they had.
	ReasonServersGone = "ServersGone"
	// ReasonServersLost: validation servers were connected to an earlier leader, and none is to this one: they may go on deciding by what
	// they had.
	ReasonServersLost = "ServersLost"

	// ReasonRotated: a new version has replaced an earlier one.
	ReasonRotated = "Rotated"
	// ReasonRetired: a version's overlap with its successor has ended.
	ReasonRetired = "Retired"
	// ReasonRestored: a version was taken over from a Secret that outlived its ApiKey's status.
	ReasonRestored = "Restored"
	// ReasonClaimed: the text of a version that is revealed once is removed from its Secret.
	ReasonClaimed = "Claimed"
	// ReasonUnclaimed: nobody claimed a version that is revealed once within its hour.
	ReasonUnclaimed = "Unclaimed"
	// ReasonRestarted: the workloads of secret.restart were rolled.
	ReasonRestarted = "Restarted"
	// ReasonNotified: the objects of secret.notify were notified.
	ReasonNotified = "Notified"
	// ReasonDefaultKeyRefused: the default key of the Group cannot be created; the message says why.
	ReasonDefaultKeyRefused = "DefaultKeyRefused"
	// ReasonMinted: a new version replaces one whose text was lost, or that a restored ApiKey came without.
	ReasonMinted = "Minted"
	// ReasonDelivered: the version is in its Secret.
	ReasonDelivered = "Delivered"
	// ReasonVersionDropped: a version that was never delivered was dropped.
	ReasonVersionDropped = "VersionDropped"
	// ReasonRoleConflict: a Role or RoleBinding has the name of the one that Keyward would create for sidecars.
	ReasonRoleConflict = "RoleConflict"
	// ReasonEnforced: a revocation, suspension or resumption is in force.
	ReasonEnforced = "Enforced"
)
