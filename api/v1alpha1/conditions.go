package v1alpha1

// Condition types, as kstatus reads them: Ready is the outcome, Reconciling says that the
// controller is at work, Stalled that it waits for somebody.
const (
	ConditionReady       = "Ready"
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"

	// ConditionEnforced says whether the latest change is in force on every connected
	// validation server.
	ConditionEnforced = "Enforced"

	// ConditionExpiringSoon says that the key ends within 14 days, or the second half of a
	// shorter life, and will not rotate by itself before.
	ConditionExpiringSoon = "ExpiringSoon"

	// ConditionCutoverPending says that a version whose overlap is about to end is still used.
	ConditionCutoverPending = "CutoverPending"

	// ConditionTierResolved says of a Group that names a tier whether the catalogue has it.
	ConditionTierResolved = "TierResolved"

	// ConditionQuotaLow says that 80 % of a monthly quota are used, and
	// ConditionQuotaExceeded that all of it is.
	ConditionQuotaLow      = "QuotaLow"
	ConditionQuotaExceeded = "QuotaExceeded"

	// ConditionRoutesOverlap says that two projects of a Group claim the same requests
	// equally well; such requests go to the first of them by name.
	ConditionRoutesOverlap = "RoutesOverlap"
)

// Reasons of conditions and events.
const (
	// ReasonReady: the object is in force as declared.
	ReasonReady = "Ready"
	// ReasonPublishing: validation servers are taking over a new version.
	ReasonPublishing = "Publishing"
	// ReasonAcknowledged: every validation server has the change in force.
	ReasonAcknowledged = "Acknowledged"
	// ReasonNoServers: no validation server is connected that the change is for.
	ReasonNoServers = "NoServers"
	// ReasonWaitingForServers: servers are named in status.enforcement.waitingFor.
	ReasonWaitingForServers = "WaitingForServers"
	// ReasonServersDisconnected: servers are named in status.enforcement.disconnected.
	ReasonServersDisconnected = "ServersDisconnected"

	// ReasonGroupNotFound: groupRef names no Group.
	ReasonGroupNotFound = "GroupNotFound"
	// ReasonNamespaceNotAllowed: the Group does not admit references from this namespace.
	ReasonNamespaceNotAllowed = "NamespaceNotAllowed"
	// ReasonProjectNotFound: the Group has no project of a given name.
	ReasonProjectNotFound = "ProjectNotFound"
	// ReasonPermissionNotFound: the Group has no capability of a given name.
	ReasonPermissionNotFound = "PermissionNotFound"
	// ReasonGroupFrozen: the Group's state is Frozen.
	ReasonGroupFrozen = "GroupFrozen"
	// ReasonGroupSuspended: the Group's state is Suspended.
	ReasonGroupSuspended = "GroupSuspended"
	// ReasonSuspended: the ApiKey is suspended.
	ReasonSuspended = "Suspended"
	// ReasonRevoked: the ApiKey is revoked.
	ReasonRevoked = "Revoked"
	// ReasonExpired: the key's time is over.
	ReasonExpired = "Expired"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonLifetimeNotAllowed: the Group's keyPolicy does not allow the expiry.
	ReasonLifetimeNotAllowed = "LifetimeNotAllowed"
	// ReasonSecretConflict: a Secret of the name exists that is not the ApiKey's.
	ReasonSecretConflict = "SecretConflict"
	// ReasonSecretRefused: the API server does not let the Secret be written.
	ReasonSecretRefused = "SecretRefused"
	// ReasonSecretTemplateInvalid: the Secret template cannot be rendered.
	ReasonSecretTemplateInvalid = "SecretTemplateInvalid"
	// ReasonInvalidSpec: a field has a value that the schema could not refuse.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonManageRequired: the user may not set what is the platform's of a Group.
	ReasonManageRequired = "ManageRequired"
	// ReasonNoOverlap: no two projects claim the same requests equally well.
	ReasonNoOverlap = "NoOverlap"
	// ReasonRoutesOverlap: the message names the projects and routes.
	ReasonRoutesOverlap = "RoutesOverlap"

	// ReasonExpiresAt: the message says when, and what mends it.
	ReasonExpiresAt = "ExpiresAt"
	// ReasonStillUsed: the message says which version, since when, and from how many clients.
	ReasonStillUsed = "StillUsed"
	// ReasonImportRefused: what importFrom names is no key that can be imported.
	ReasonImportRefused = "ImportRefused"
	// ReasonRestoreRefused: the Secret that an earlier life of the ApiKey left cannot be taken over.
	ReasonRestoreRefused = "RestoreRefused"
	// ReasonTextRevoked: the text that was to be restored or imported was revoked, deleted or retired before.
	ReasonTextRevoked = "TextRevoked"
	// ReasonOverlapsPending: so many versions are in their overlap that the next rotation waits.
	ReasonOverlapsPending = "OverlapsPending"
	// ReasonRestartRefused: a workload of secret.restart cannot be rolled.
	ReasonRestartRefused = "RestartRefused"

	// ReasonCreated: a default key is created with its Group.
	ReasonCreated = "Created"
	// ReasonTierFound: the tier is in the catalogue.
	ReasonTierFound = "TierFound"
	// ReasonTierNotFound: the catalogue has no such tier; the limits stay as they were.
	ReasonTierNotFound = "TierNotFound"
	// ReasonKeyLimitReached: the Group has as many ApiKeys as it may have.
	ReasonKeyLimitReached = "KeyLimitReached"
	// ReasonQuotaUsed: the message says how much of which quota is used.
	ReasonQuotaUsed = "QuotaUsed"

	// ReasonRotated: a new version has taken the place of an earlier one.
	ReasonRotated = "Rotated"
	// ReasonRetired: a version's overlap with its successor is over.
	ReasonRetired = "Retired"
	// ReasonImported: an existing key became the first version.
	ReasonImported = "Imported"
	// ReasonRestored: a version was taken over from a Secret that outlived its ApiKey's status.
	ReasonRestored = "Restored"
	// ReasonClaimed: the text of a version that is revealed once is gone from its Secret.
	ReasonClaimed = "Claimed"
	// ReasonUnclaimed: nobody claimed a version that is revealed once within its hour.
	ReasonUnclaimed = "Unclaimed"
	// ReasonRestarted: the workloads of secret.restart were rolled.
	ReasonRestarted = "Restarted"
	// ReasonMinted: a version takes the place of one whose text was lost.
	ReasonMinted = "Minted"
	// ReasonDelivered: the version is in its Secret.
	ReasonDelivered = "Delivered"
	// ReasonVersionDropped: a version that was never delivered was given up.
	ReasonVersionDropped = "VersionDropped"
	// ReasonEnforced: a revocation, suspension or resumption is in force.
	ReasonEnforced = "Enforced"
)

const (
	// AnnotationCreatedBy holds the user who created an ApiKey; stamped at admission.
	AnnotationCreatedBy = "keyward.dev/created-by"
	// FinalizerEnforcement holds a deleted ApiKey until its revocation is enforced.
	FinalizerEnforcement = "keyward.dev/enforcement"

	// LabelManagedBy and ManagedBy mark the Secrets of the operator.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "keyward"
	// LabelAPIKey holds, on a Secret, the key id of its ApiKey.
	LabelAPIKey = "keyward.dev/key-id"
	// AnnotationVersion holds, on a Secret, the id of the version that it carries.
	AnnotationVersion = "keyward.dev/version"
	// AnnotationPreview holds, on a Secret, the preview of the key that it carries.
	AnnotationPreview = "keyward.dev/preview"
	// AnnotationAPIKey holds, on a Secret, the name of its ApiKey, by which a restored ApiKey
	// knows a restored Secret.
	AnnotationAPIKey = "keyward.dev/api-key"
	// AnnotationMintedAt holds, on a Secret, when the key that it carries was minted.
	AnnotationMintedAt = "keyward.dev/minted-at"
	// AnnotationRotatesAt holds, on a Secret, when the key that it carries is replaced.
	AnnotationRotatesAt = "keyward.dev/rotates-at"
	// AnnotationClaimed is set to true on a Secret whose ApiKey is revealed once, to say that
	// somebody has the text: it is removed from the cluster.
	AnnotationClaimed = "keyward.dev/claimed"
	// AnnotationRestored is set at admission on an ApiKey that comes with the stamp of an
	// earlier life: its creator then, as whoever creates it now claims.
	AnnotationRestored = "keyward.dev/restored-from"
	// AnnotationRestartPrefix is followed by a key id, and holds on a pod template the version
	// that the workload was last rolled for.
	AnnotationRestartPrefix = "restart.keyward.dev/"
	// AnnotationExpiresAt holds, on a Secret, when the key that it carries ends.
	AnnotationExpiresAt = "keyward.dev/expires-at"
	// AnnotationSeal holds, on a Secret, what only the manager can make: that it wrote the text and
	// the annotations above, for the ApiKey of this name in this namespace.
	AnnotationSeal = "keyward.dev/seal"
	// AnnotationRestoringUntil holds, on a Namespace, until when (RFC 3339) Secrets without a seal, and
	// texts of ApiKeys that were deleted, are taken over from restored Secrets in it.
	AnnotationRestoringUntil = "keyward.dev/restoring-until"
)

// VerbValidate is the verb on groups.keyward.dev that a validation server needs.
const VerbValidate = "validate"

// VerbManage is the verb on groups.keyward.dev that it takes to set what is the platform's of a Group.
const VerbManage = "manage"

// SyncAudience is the audience of the tokens that validation servers present.
const SyncAudience = "keyward.dev/sync"
