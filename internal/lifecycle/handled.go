package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// maxHandled is how many handled requests and triggers are remembered beyond the versions that handled them.
const maxHandled = 64

// The kinds of what is remembered as handled.
const (
	handledRequestKind = "request"
	handledTriggerKind = "trigger"
)

// SetHandled records in a status which requests to rotate, and which triggers, the delivered versions have handled. Versions
// are forgotten soon, and the text that asked for one comes back much later: from Git, from a backup, by a revert. What is
// forgotten here, too, leaves the time that it named, so that it is still recognized if it is a time.
func SetHandled(status *v1alpha1.ApiKeyStatus, versions []v1alpha1.KeyVersion) {
	var now []v1alpha1.HandledRotation
	add := func(kind, value string, at *metav1.Time) {
		if hash := hashOf(kind, value); value != "" && !remembers(now, hash) {
			now = append(now, v1alpha1.HandledRotation{Hash: hash, RequestedAt: at})
		}
	}
	// Those that the status still has, too: this plan may have been the one that forgets them.
	for _, known := range [][]v1alpha1.KeyVersion{status.Versions, versions} {
		for i := range known {
			if v := &known[i]; v.DeliveredAt != nil {
				add(handledTriggerKind, v.Trigger, nil)
				add(handledRequestKind, v.RotateRequest, requestedAt(v.RotateRequest, v.MintedAt.Time))
			}
		}
	}
	for i := range slices.Backward(versions) {
		if v := &versions[i]; v.RotateRequest != "" && v.DeliveredAt != nil {
			status.LastHandledRotateRequest = v.RotateRequest
			break
		}
	}
	earlier := slices.DeleteFunc(slices.Clone(status.HandledRotations), func(h v1alpha1.HandledRotation) bool {
		return remembers(now, h.Hash)
	})
	all := slices.Concat(earlier, now)
	for len(all) > maxHandled {
		if at := all[0].RequestedAt; at != nil && (status.HandledThrough == nil || status.HandledThrough.Before(at)) {
			status.HandledThrough = at.DeepCopy()
		}
		all = all[1:]
	}
	status.HandledRotations = all
}

// handledRequest reports whether a version was delivered for the request.
func handledRequest(status *v1alpha1.ApiKeyStatus, request string) bool {
	if request == status.LastHandledRotateRequest || remembers(status.HandledRotations, hashOf(handledRequestKind, request)) {
		return true
	}
	at, isTime := grant.RequestTime(request)
	return isTime && status.HandledThrough != nil && !at.After(status.HandledThrough.Time)
}

// requestedAt is the time that a request names, or that of its handling if that is earlier: a time in the far future must
// not make all requests until then look old.
func requestedAt(request string, handled time.Time) *metav1.Time {
	at, isTime := grant.RequestTime(request)
	switch {
	case !isTime:
		return nil
	case at.After(handled):
		at = handled
	}
	return seconds(at.UTC())
}

func hashOf(kind, value string) string {
	sum := sha256.Sum256([]byte(kind + "/" + value))
	return hex.EncodeToString(sum[:16])
}

func remembers(handled []v1alpha1.HandledRotation, hash string) bool {
	return slices.ContainsFunc(handled, func(h v1alpha1.HandledRotation) bool { return h.Hash == hash })
}
