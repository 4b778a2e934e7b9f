package v1alpha1

// Names of annotations, labels and finalizers.
const (
	// AnnotationCreatedBy holds the user who created an ApiKey or a KeyRequest; stamped at admission.
	AnnotationCreatedBy = "keyward.dev/created-by"
	// AnnotationCreatedVia holds, on a KeyRequest, a Via: how its user created it; stamped at admission.
	AnnotationCreatedVia = "keyward.dev/created-via"
	// AnnotationChangedBy holds the user who last changed the spec of an object, or requested a rotation; stamped at admission.
	AnnotationChangedBy = "keyward.dev/changed-by"
	// AnnotationChanges holds the last changes of the spec of an object, with who made them; stamped at admission. The log of
	// the Group is written from it.
	AnnotationChanges = "keyward.dev/changes"
	// AnnotationDeletedBy holds who asked for the deletion of an object last; stamped at admission of the deletion.
	AnnotationDeletedBy = "keyward.dev/deleted-by"
	// AnnotationRotateRequestedAt requests a rotation of an ApiKey when it gets a value that it did not have before, for
	// instance the time. With ";overlap=" and a duration at the end, that is the overlap of this one rotation.
	AnnotationRotateRequestedAt = "keyward.dev/rotate-requested-at"
	// AnnotationPreventDeletion is set to true on an ApiKey, Group or DomainAllowlist so that admission refuses to delete it.
	AnnotationPreventDeletion = "keyward.dev/prevent-deletion"
	// FinalizerEnforcement keeps a deleted ApiKey until its revocation is enforced.
	FinalizerEnforcement = "keyward.dev/enforcement"
	// FinalizerBilling keeps the GroupUsage of a deleted Group until its last window is closed for billing engines.
	FinalizerBilling = "keyward.dev/billing"

	// LabelManagedBy and ManagedBy mark the Secrets of the operator.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "keyward"
	// LabelGroupUID holds, on a GroupLog, the metadata.uid of its Group.
	LabelGroupUID = "keyward.dev/group-uid"
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
	// somebody has the text, which is then removed from the cluster.
	AnnotationClaimed = "keyward.dev/claimed"
	// AnnotationClaimedVersion holds, on an ApiKey that is revealed once, status.keyID, '-' and the id of the version that
	// somebody has. It does what AnnotationClaimed does, for those who may write the ApiKey and not its Secret, for no later
	// version, and for no other ApiKey of the name.
	AnnotationClaimedVersion = "keyward.dev/claimed-version"
	// AnnotationSuspendedUnused holds, on an ApiKey, when (RFC 3339) it was suspended last because it was not used. It stays when the
	// key is resumed: its days without a request count from then at the earliest.
	AnnotationSuspendedUnused = "keyward.dev/suspended-unused-at"
	// AnnotationRequest holds, on an ApiKey that was created for a KeyRequest, the metadata.uid of that.
	AnnotationRequest = "keyward.dev/request"
	// AnnotationRestored is set at admission on an ApiKey that is created with the AnnotationCreatedBy of an
	// earlier ApiKey: the creator of that one, as the creator of this one claims.
	AnnotationRestored = "keyward.dev/restored-from"
	// AnnotationRestartPrefix is followed by a key id, and holds on a pod template the version
	// that the workload was last rolled for.
	AnnotationRestartPrefix = "restart.keyward.dev/"
	// AnnotationExpiresAt holds, on a Secret, when the key that it carries ends.
	AnnotationExpiresAt = "keyward.dev/expires-at"
	// AnnotationSeal holds, on a Secret, a proof that only the manager can make: that it wrote the text and
	// the annotations above, for the ApiKey of this name in this namespace.
	AnnotationSeal = "keyward.dev/seal"
	// AnnotationRestoringUntil holds, on a Namespace, the instant (RFC 3339) until which Secrets without a seal, and
	// texts of ApiKeys that were deleted, are taken over from restored Secrets in it.
	AnnotationRestoringUntil = "keyward.dev/restoring-until"
)

// VerbValidate is the verb on groups.keyward.dev that a validation server needs.
const VerbValidate = "validate"

// VerbApprove is the verb on groups.keyward.dev that is required to decide about requests for keys of a Group.
const VerbApprove = "approve"

// VerbManage is the verb on groups.keyward.dev that is required to set the fields of a Group that are the platform's.
const VerbManage = "manage"

// SyncAudience is the audience of the tokens that validation servers present.
const SyncAudience = "keyward.dev/sync"

// VerbImport is the verb on apikeys.keyward.dev that is required to import a key by the hash of its text.
const VerbImport = "import"
