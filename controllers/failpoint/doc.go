// Package failpoint marks the steps between which the manager may crash. Only a build with the tag failpoints can be made to
// crash there. The tests use it to prove that a mint survives each crash.
package failpoint

// The steps of minting, in order.
const (
	BeforePending = "before-pending" // minted, known to this process alone
	AfterPending  = "after-pending"  // recorded in status, about to be published
	BeforeSecret  = "before-secret"  // acknowledged by every server
	AfterSecret   = "after-secret"   // delivered, not yet recorded
	AfterActive   = "after-active"   // recorded
)

// Mint has all steps of minting.
var Mint = []string{BeforePending, AfterPending, BeforeSecret, AfterSecret, AfterActive}

// The steps of writing an event into the log of a Group, in order.
const (
	BeforeSegment = "before-segment" // the transition is persisted, and known to this process
	AfterSegment  = "after-segment"  // in the log, whose head is not recorded
	AfterHead     = "after-head"     // recorded
)

// Log has all steps of writing into a log.
var Log = []string{BeforeSegment, AfterSegment, AfterHead}

// The steps of sending events to a sink, in order.
const (
	BeforeSend     = "before-send"     // in the log, read for the sink
	AfterSend      = "after-send"      // the receiver has acknowledged it, which only this process knows
	BeforePosition = "before-position" // about to be persisted
	AfterPosition  = "after-position"  // persisted
)

// Send has all steps of sending.
var Send = []string{BeforeSend, AfterSend, BeforePosition, AfterPosition}
