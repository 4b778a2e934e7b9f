package lifecycle

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Input is everything that a plan depends on, beside the time.
type Input struct {
	// Key is the ApiKey with the status that was last written.
	Key *v1alpha1.ApiKey
	// Group is the Group that the key refers to, nil where there is none.
	Group *v1alpha1.Group
	// Problem is why the Group does not grant what the key asks, nil where it does.
	Problem *grant.Problem
	// Secret is what was found under the name of the key's Secret.
	Secret Secret
	// Template is what is wrong with the key's Secret template, nil where nothing is.
	Template *grant.Problem
	// Import is why the key that spec.importFrom names cannot be imported, nil where it can.
	Import *grant.Problem
	// NoPlace is why a key that has no version yet is not to get one, because its Group has
	// as many keys as it may have; nil where it has a place.
	NoSlot *grant.Problem
	// Unverifiable is why it cannot be told which text the versions are of, nil where it can.
	Unverifiable *grant.Problem
	// Held is the Pending version whose text this process holds in memory, or 0.
	Pending int64
	// Published is whether every connected validation server has acknowledged the versions
	// in Key's status.
	Published bool
	// Usage is what validation servers have reported about the versions.
	Usage Usage
}

// Secret is what was found under the name of the key's Secret.
type Secret struct {
	// Found is whether there is a Secret of the name, Foreign whether it is not the key's.
	Found, Foreign bool
	// Digest of the key text in it, in the form of KeyVersion's digest; empty without one.
	Digest string
	// Claimed is whether somebody has declared to have the text.
	Claimed bool
	// Left is what the Secret itself says about the version that it carries (its id,
	// preview, mintedAt and expiresAt), for a key whose status knows of none. LeftProblem is
	// why it cannot be taken over.
	Restorable     *v1alpha1.KeyVersion
	RestoreProblem *grant.Problem
	// LeftAllowed says what would have been refused, and by whom it is allowed; empty otherwise.
	RestoreAllowedBy string
}

// Usage is what validation servers have reported about the use of a key's versions.
type Usage struct {
	// Since is from when on use is known, and Through until when every server that may
	// accept the key has reported; Through is zero while one of them is away.
	Since, Through time.Time
	// Of are the uses by the digest of the version.
	Of map[string]Use
}

// Use is the use of one version.
type Use struct {
	// Last is when it last let a request through.
	Last time.Time
	// Clients is from how many addresses, as far as was counted; More says there are more.
	Clients int
	More    bool
}
