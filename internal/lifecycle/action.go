package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// steps are the steps of a key's life, in order; the first that applies is chosen.
var steps = []func(*planner) (applies bool){
	(*planner).outlive,
	(*planner).endForGood,
	(*planner).restore,
	(*planner).importFirst,
	(*planner).publishAndDeliver,
	(*planner).deleteSecret,
	(*planner).rotate,
	(*planner).mintMissing,
	(*planner).keep,
}

// act chooses the action.
func (p *planner) act() {
	if Revoked(p.in.Key) {
		p.deleteSecretWhenEnded()
		return
	}
	p.out.Obstacle = p.obstacle()
	for _, step := range steps {
		if step(p) {
			return
		}
	}
}

// endForGood is for a key that has ended: it does not start again.
func (p *planner) endForGood() bool {
	if !p.ended() {
		return false
	}
	p.out.Obstacle = nil
	p.deleteSecretWhenEnded()
	return true
}

// outlive is for a key of which an earlier version outlives the one that was delivered last, as when the Group's keyPolicy was
// tightened to less than an overlap. Its Secret has a text that is refused. It has not ended, so a request or trigger
// still mints the next version; nothing does on its own, because the key does not rotate by a schedule.
func (p *planner) outlive() bool {
	outlives := latest(p.out.Versions, v1alpha1.VersionRetiring)
	if outlives == nil || !p.ended() {
		return false
	}
	last := &p.out.Versions[len(p.out.Versions)-1]
	if last.State != v1alpha1.VersionExpired || p.declaredEnd(last) {
		return false
	}
	cause := p.asked()
	switch {
	case p.out.Obstacle != nil:
	case cause != "":
		p.planVersion(Mint, cause)
	default:
		p.out.Obstacle = &grant.Problem{
			Reason: v1alpha1.ReasonLifetimeNotAllowed, Field: "spec.expiresAfter",
			Message: fmt.Sprintf("version %d (%s), which was delivered last, has expired; version %d (%s) is still accepted, until its "+
				"overlap ends; request a rotation, and let the key live longer than its overlap",
				last.ID, last.Preview, outlives.ID, outlives.Preview),
		}
	}
	if p.out.Action != Mint {
		p.deleteSecretWhenEnded()
	}
	return true
}

// ended reports whether the key has ended. A key that rotates automatically continues if no manager was running to rotate
// it before it expired, unless its end was declared meanwhile.
func (p *planner) ended() bool {
	if p.active() != nil || p.pending() != nil {
		return false
	}
	if len(p.out.Versions) == 0 {
		return p.endedBeforeFirst()
	}
	last := &p.out.Versions[len(p.out.Versions)-1]
	renews := p.rotation.Every > 0 && last.State == v1alpha1.VersionExpired && !p.declaredEnd(last)
	return !renews || p.in.Key.Status.State == v1alpha1.KeyExpired
}

// endedBeforeFirst reports whether the key was over before it had a version, as when it is created from an old manifest. A
// Secret that can be taken over shows what its version was.
func (p *planner) endedBeforeFirst() bool {
	secret := p.in.Secret
	if secret.Found && !secret.Foreign && secret.Digest != "" {
		return false
	}
	at := p.in.Key.Spec.ExpiresAt
	return p.in.Key.Status.State == v1alpha1.KeyExpired || at != nil && Passed(at, p.now)
}

// declaredEnd reports whether a version ended when the key itself is declared to end, and not before because of the
// Group's keyPolicy.
func (p *planner) declaredEnd(v *v1alpha1.KeyVersion) bool {
	at := p.in.Key.Spec.ExpiresAt
	return at != nil && (v.ExpiresAt == nil || !v.ExpiresAt.Before(at) || Passed(at, p.now))
}

// restore takes over the version in the Secret of a key whose status was lost, for instance after a restore from a backup:
// its holders notice nothing.
func (p *planner) restore() bool {
	if len(p.out.Versions) > 0 || !p.in.Secret.Found || p.in.Secret.Foreign || p.in.Secret.Digest == "" {
		return false
	}
	switch {
	case p.in.Problem != nil:
		return true
	case p.in.Secret.RestoreProblem != nil:
		p.out.Obstacle = p.in.Secret.RestoreProblem
		return true
	}
	version := *p.in.Secret.Restorable.DeepCopy()
	version.State, version.Cause = v1alpha1.VersionActive, v1alpha1.CauseRestored
	version.Digest, version.Trigger = p.in.Secret.Digest, p.in.Key.Spec.Rotation.Trigger
	version.RotateRequest = grant.RotateRequest(p.in.Key)
	version.DeliveredAt = seconds(p.now)
	if problem := p.capExpiry(&version); problem != nil {
		p.out.Obstacle = problem
		return true
	}
	although := "" // in the same event: a second one with the same reason would only be counted
	if p.in.Secret.RestoreAllowedBy != "" {
		although = "; the Secret " + p.in.Secret.RestoreAllowedBy
	}
	p.note(true, v1alpha1.ReasonRestored, "version %d (%s) is taken over from Secret %s, which existed before this ApiKey: its "+
		"holders are not affected%s",
		version.ID, version.Preview, SecretName(p.in.Key), although)
	if Passed(version.ExpiresAt, p.now) {
		p.end(&version, v1alpha1.VersionExpired)
	}
	p.out.Versions = append(p.out.Versions, version)
	return true
}

// capExpiry ensures that a version that is taken over ends no later than its declaration allows: an annotation of a Secret
// has no authority.
func (p *planner) capExpiry(version *v1alpha1.KeyVersion) *grant.Problem {
	latest, problem := grant.CappedExpiry(p.in.Key, p.in.Group, version.MintedAt.Time)
	if at := p.in.Key.Spec.ExpiresAt; at != nil && !at.After(version.MintedAt.Time) {
		latest, problem = at.Time, nil
	}
	if problem != nil {
		return problem
	}
	if !latest.IsZero() && (version.ExpiresAt == nil || version.ExpiresAt.After(latest)) {
		version.ExpiresAt = seconds(latest)
	}
	return nil
}

// importFirst imports an existing key as the first version.
func (p *planner) importFirst() bool {
	if len(p.out.Versions) > 0 || p.in.Key.Spec.ImportFrom == nil {
		return false
	}
	if p.out.Obstacle == nil {
		p.out.Obstacle = p.in.Import
	}
	if p.out.Obstacle == nil {
		p.planVersion(Import, v1alpha1.CauseImported)
	}
	return true
}

// publishAndDeliver publishes and delivers the pending version.
func (p *planner) publishAndDeliver() bool {
	pending := p.pending()
	if pending == nil {
		return false
	}
	if active := p.active(); active != nil && !p.carries(active) && active.ClaimedAt == nil && !p.revealedOnce() &&
		pending.Cause != v1alpha1.CauseReplaced {
		pending.Cause = v1alpha1.CauseReplaced // the text of the earlier version was lost meanwhile
	}
	if p.out.Obstacle != nil {
		return true
	}
	p.out.Target, p.out.Action = pending.ID, Publish
	switch withoutText := p.in.WithoutText && p.in.Pending == pending.ID; {
	case p.in.Published && withoutText:
		p.out.Action = None
		p.accept(pending)
	case p.in.Published:
		p.out.Action = Deliver
	}
	return true
}

// rotate replaces a working version with a new one, if that is due.
func (p *planner) rotate() bool {
	active := p.active()
	if active == nil || !p.carries(active) && active.ClaimedAt == nil || p.out.Obstacle != nil {
		return false
	}
	cause := p.due(active)
	if cause == "" {
		return false
	}
	retiring := 0
	for i := range p.out.Versions {
		if p.out.Versions[i].State == v1alpha1.VersionRetiring {
			retiring++
		}
	}
	if retiring >= MaxRetiring && p.overlapOf(cause) > 0 {
		p.out.Postponed = true
		return false
	}
	p.planVersion(Mint, cause)
	return true
}

// due is why the version has to be replaced; empty if it does not.
func (p *planner) due(active *v1alpha1.KeyVersion) v1alpha1.VersionCause {
	if cause := p.asked(); cause != "" {
		return cause
	}
	if at, _ := p.rotation.Next(p.in.Key, active, p.now); !at.IsZero() && !p.now.Before(at) {
		return v1alpha1.CauseScheduled
	}
	return ""
}

// asked returns how somebody asks for a new version; empty if nobody does.
func (p *planner) asked() v1alpha1.VersionCause {
	switch {
	case unhandledRequest(p.in.Key, p.out.Versions) != "":
		return v1alpha1.CauseRequested
	case p.triggered():
		return v1alpha1.CauseTriggered
	}
	return ""
}

// mintMissing mints the first version, or one that replaces a lost or expired one.
func (p *planner) mintMissing() bool {
	active := p.active()
	if active != nil && (p.carries(active) || active.ClaimedAt != nil) {
		return false
	}
	if p.out.Obstacle != nil {
		return true
	}
	switch {
	case active != nil && p.now.Before(p.replaceableAt(active)):
		p.out.ReplacesAt = p.replaceableAt(active)
		p.wakeAt(p.out.ReplacesAt)
	case active != nil:
		if p.planVersion(Mint, v1alpha1.CauseReplaced) {
			p.note(true, v1alpha1.ReasonMinted, "Secret %s no longer holds version %d (%s), whose text is stored nowhere else; a new "+
				"version replaces it, and revokes it once delivered",
				SecretName(p.in.Key), active.ID, active.Preview)
		}
	case len(p.in.Key.Status.Versions) > 0 && len(p.out.Versions) > 0:
		p.mintExpired()
	default:
		from := p.in.Key.Annotations[v1alpha1.AnnotationRestored]
		if p.planVersion(Mint, v1alpha1.CauseCreated) && from != "" && len(p.in.Key.Status.Versions) == 0 {
			p.note(true, v1alpha1.ReasonMinted, "the ApiKey was created from a copy or a backup (its creator claims that %q created it "+
				"then) without its Secret %s: a new key is minted, and holders of an earlier one are refused",
				from, SecretName(p.in.Key))
		}
	}
	return true
}

// mintExpired mints the successor of a version that has expired: no manager was running to rotate it, or its Group lets keys live for
// less than a minute, and then it waits until the schedule may replace it.
func (p *planner) mintExpired() {
	cause := p.asked()
	last := &p.out.Versions[len(p.out.Versions)-1]
	if soonest := grant.SoonestAfter(last); cause == "" && p.now.Before(soonest) {
		p.wakeAt(soonest)
		return
	}
	p.planVersion(Mint, cmp.Or(cause, v1alpha1.CauseScheduled))
}

// Whoever may write a key's Secret can have versions replaced over and over, of which each is remembered until it would have
// expired. So those that follow each other wait, longer each time; a version that was used for a while is replaced at once.
const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute
)

// replaceableAt returns from when on a version whose text is lost is replaced.
func (p *planner) replaceableAt(active *v1alpha1.KeyVersion) time.Time {
	pause, successor := time.Duration(0), active.MintedAt.Time
	for i := range slices.Backward(p.out.Versions) {
		v := &p.out.Versions[i]
		if v.Cause != v1alpha1.CauseReplaced || successor.Sub(v.MintedAt.Time) > 2*longestPause {
			break
		}
		pause, successor = min(max(firstPause, 2*pause), longestPause), v.MintedAt.Time
	}
	return active.MintedAt.Add(pause)
}

// planVersion plans a new version, and reports whether it may be minted.
func (p *planner) planVersion(action Action, cause v1alpha1.VersionCause) bool {
	expiresAt, problem := grant.Expiry(p.in.Key, p.in.Group, p.now)
	if tightened := problem; problem != nil && len(p.in.Key.Status.Versions) > 0 {
		// The policy was tightened since the key was created: it goes on, within what is allowed now.
		if expiresAt, problem = grant.CappedExpiry(p.in.Key, p.in.Group, p.now); problem == nil {
			p.note(true, v1alpha1.ReasonLifetimeNotAllowed, "the new version lives until %s: %s",
				expiresAt.UTC().Format(time.RFC3339), tightened.Error())
		}
	}
	if problem != nil {
		p.out.Obstacle = problem
		return false
	}
	p.out.Action, p.out.Cause, p.out.ExpiresAt, p.out.Target = action, cause, expiresAt, 1
	for i := range p.in.Key.Status.Versions {
		p.out.Target = max(p.out.Target, p.in.Key.Status.Versions[i].ID+1)
	}
	return true
}

// keep keeps the Secret of a working version as declared.
func (p *planner) keep() bool {
	active := p.active()
	p.out.Target = active.ID
	if p.out.Obstacle != nil || !p.carries(active) {
		return true
	}
	p.out.Action = Keep
	p.followUp(active)
	return true
}

func (p *planner) state() v1alpha1.KeyState {
	active := p.active()
	switch {
	case Revoked(p.in.Key):
		return v1alpha1.KeyRevoked
	case Current(p.out.Versions) == nil && p.ended():
		return v1alpha1.KeyExpired
	case notGranted(p) != nil:
		return v1alpha1.KeyBlocked
	case groupInactive(p) != nil, suspended(p) != nil:
		return v1alpha1.KeySuspended
	case active != nil && (p.carries(active) || active.ClaimedAt != nil), p.ended():
		return v1alpha1.KeyActive
	case p.out.Obstacle != nil:
		return v1alpha1.KeyBlocked
	}
	return v1alpha1.KeyPending
}
