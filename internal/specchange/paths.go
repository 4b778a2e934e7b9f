package specchange

// paths are the fields that logs record, by kind. Paths and queries of requests, values of contexts, entries of Secrets, and
// descriptions are not among them: of these there are names at most. valueAt explains the forms.
var paths = map[string][]string{
	"ApiKey": {
		"spec.projects", "spec.permissions", "spec.clients", "spec.addresses", "spec.signedURLs", "spec.context{}", "spec.expiresAfter", "spec.expiresAt",
		"spec.rotation.every", FieldOverlap, "spec.rotation.jitter", "spec.rotation.retireWhenUnusedFor", FieldTrigger,
		"spec.limits.requestsPerSecond", "spec.limits.burst", "spec.secret.reveal", FieldSuspended, FieldRevoked,
	},
	"Group": {
		"spec.displayName", FieldTier, FieldState,
		"spec.limits.keys", "spec.limits.requestsPerMonth", "spec.limits.bytesPerMonth", "spec.limits.overage", "spec.limits.period.anchorDay",
		"spec.limits.quotaFailurePolicy", "spec.limits.requestsPerSecond", "spec.limits.burst",
		"spec.keyPolicy.prefix", "spec.keyPolicy.defaultLifetime", "spec.keyPolicy.maxLifetime", "spec.keyPolicy.allowNever",
		"spec.keyPolicy.acceptIn", "spec.keyPolicy.requireAddresses", "spec.keyPolicy.keysMaySet", "spec.keyPolicy.requests",
		"spec.keyPolicy.onLeak",
		"spec.keyPolicy.warnUnusedFor", "spec.keyPolicy.suspendUnusedFor", "spec.contacts[].name", "spec.caching", "spec.defaultKey.enabled",
		"spec.allowedNamespaces.from", "spec.allowlistsFrom.from", "spec.projects[].name", "spec.projects{public}", "spec.capabilities[].name", "spec.capabilities{cost}",
		"spec.context{}", "spec.sealedContext{secretKeyRef}",
	},
	"DomainAllowlist": {"spec.projects", "spec.domains", "spec.allowLocalhost", "spec.missingOrigin"},
}

// Paths returns the fields that the log records of a kind.
func Paths(kind string) []string { return append([]string(nil), paths[kind]...) }
