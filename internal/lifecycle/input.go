package lifecycle

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Input is everything that a plan depends on, except the time.
type Input struct {
	// Key is the ApiKey with the status that was last written.
	Key *v1alpha1.ApiKey
	// Group is the Group that the key refers to, nil where there is none.
	Group *v1alpha1.Group
	// Granted is what the Group grants of what the key asks.
	grant.Granted

	// Secret is what was found under the name of the key's Secret.
	Secret Secret
	// Template is what is wrong with the key's Secret template; nil if nothing is.
	Template *grant.Problem
	// Import is why the key that spec.importFrom names cannot be imported; nil if it can.
	Import *grant.Problem
	// NoSlot is why a key that has no version yet must not get one: its Group has reached its limit of keys. It is nil if
	// the key has a slot.
	NoSlot *grant.Problem
	// Unverifiable is why the text of the versions cannot be recognized; nil if it can.
	Unverifiable *grant.Problem
	// Pending is the id of the Pending version whose text this process has in memory, or 0. WithoutText reports whether it has
	// only the digest, because the key was imported by it.
	Pending     int64
	WithoutText bool
	// Published reports whether every connected validation server has acknowledged the versions in Key's status.
	Published bool
	// SharedRestart reports whether another key rolls one of the workloads that this one rolls.
	SharedRestart bool
	// Usage is what validation servers have reported about the versions.
	Usage Usage
}

// Secret is what was found under the name of the key's Secret.
type Secret struct {
	// Found reports whether there is a Secret of the name, Foreign whether it is not the key's.
	Found, Foreign bool
	// Owner is the name of another ApiKey whose Secret it is; empty if it is none's.
	Owner string
	// Digest of the key text in it, in the form of KeyVersion's digest; empty without a text.
	Digest string
	// Claimed reports whether somebody has declared that they have the text.
	Claimed bool
	// Restorable is what the Secret itself says about the version that it carries (its id, preview, mintedAt and
	// expiresAt), for a key whose status has no version. RestoreProblem is why it cannot be taken over.
	Restorable     *v1alpha1.KeyVersion
	RestoreProblem *grant.Problem
	// RestoreAllowedBy describes what would have been refused, and what allows it; empty otherwise.
	RestoreAllowedBy string
}

// Usage is what validation servers have reported about the use of a key's versions.
type Usage struct {
	// Since is the instant since which use is known, and Through the instant until which every server that may accept the
	// key has reported; Through is zero while one of them is disconnected.
	Since, Through time.Time
	// Of are the uses, by the digest of the version.
	Of map[string]Use
}

// Use is the use of one version.
type Use struct {
	// Last is when a request was last allowed with it.
	Last time.Time
	// Clients is the number of client addresses, as far as they were counted; More reports whether there are more.
	Clients int
	More    bool
}
