package view

import (
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
)

const (
	unlimited = "unlimited"
	// stale is how old the status of an Installation may be: a manager that leads writes it every 10 minutes.
	stale = 25 * time.Minute
)

// Platform is how Keyward itself is, as of an instant.
func Platform(of *v1alpha1.Installation, now time.Time) page.Platform {
	status := &of.Status
	validators := &status.Validators
	p := page.Platform{
		Version: orElse(status.Version, "not known"), Leader: orElse(status.Leader, "not known"), Written: timeOf(status.UpdatedAt),
		Connected: widen(validators.Connected), Disconnected: widen(validators.Disconnected), Behind: widen(validators.Behind),
		Rejecting: widen(validators.Rejecting),
	}
	p.State, p.Problem = readiness(status.Conditions, page.State{Text: "All well", Tone: page.Good}, page.State{Text: "Needs attention", Tone: page.Bad})
	if status.UpdatedAt != nil && now.Sub(status.UpdatedAt.Time) > stale {
		p.State, p.Problem = page.State{Text: "Not known", Tone: page.Off}, "No manager has written how Keyward is for more than 25 minutes: this is how it was. Look at the Pods of the manager."
	}
	for i := range validators.Servers {
		p.Servers = append(p.Servers, platformServer(&validators.Servers[i]))
	}
	p.Unlisted = max(p.Connected+p.Disconnected-int64(len(p.Servers)), 0)
	for i := range status.Sinks {
		p.Sinks = append(p.Sinks, platformSink(&status.Sinks[i]))
	}
	for i := range status.Tiers {
		p.Tiers = append(p.Tiers, platformTier(&status.Tiers[i]))
	}
	return p
}

// readiness is the state that the condition Ready says, and its message if that is not good.
func readiness(conditions []metav1.Condition, good, bad page.State) (page.State, string) {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return page.State{Text: "Not known", Tone: page.Off}, ""
	case ready.Status == metav1.ConditionTrue:
		return good, ""
	}
	return bad, sentence(ready.Message)
}

// platformServer says of a server what somebody has to know first.
func platformServer(s *v1alpha1.InstallationServer) page.PlatformServer {
	row := page.PlatformServer{Name: s.Name, Identity: s.Identity, Version: orElse(s.Version, "not known")}
	if s.Groups != nil {
		row.Groups = strconv.Itoa(int(*s.Groups))
	}
	switch {
	case ptr.Deref(s.Rejected, 0) > 0:
		row.State, row.Reason = page.State{Text: "Rejects", Tone: page.Bad}, s.RejectionReason
	case s.BehindSince != nil:
		row.State, row.Since = page.State{Text: "Behind", Tone: page.Warn}, s.BehindSince.Time
	case s.DisconnectedSince != nil:
		row.State, row.Since = page.State{Text: "Disconnected", Tone: page.Bad}, s.DisconnectedSince.Time
	default:
		row.State, row.Since = page.State{Text: "Connected", Tone: page.Good}, timeOf(s.ConnectedSince)
	}
	return row
}

func platformSink(s *v1alpha1.InstallationSink) page.PlatformSink {
	row := page.PlatformSink{Name: s.Name, Kind: s.Type + ", " + strings.ToLower(string(s.Sends)), Delivered: timeOf(s.LastDeliveredAt), Waiting: timeOf(s.WaitingSince)}
	row.State, row.Problem = readiness(s.Conditions, page.State{Text: "Delivers", Tone: page.Good}, page.State{Text: "Fails", Tone: page.Bad})
	return row
}

func platformTier(t *v1alpha1.InstallationTier) page.PlatformTier {
	row := page.PlatformTier{
		Name: t.Name, Default: ptr.Deref(t.Default, false), AuditLog: ptr.Deref(t.AuditLog, false), Keys: unlimited, Requests: unlimited, Bytes: unlimited,
		Rate: unlimited,
	}
	if t.Keys != nil {
		row.Keys = strconv.Itoa(int(*t.Keys))
	}
	if t.RequestsPerMonth != nil {
		row.Requests = strconv.FormatInt(*t.RequestsPerMonth, 10)
	}
	if t.BytesPerMonth != nil {
		row.Bytes = t.BytesPerMonth.String()
	}
	if t.RequestsPerSecond != nil {
		row.Rate = strconv.Itoa(int(*t.RequestsPerSecond))
	}
	if t.Overage == v1alpha1.OverageMeter {
		row.Requests, row.Bytes = metered(row.Requests), metered(row.Bytes)
	}
	return row
}

// metered adds that what exceeds a limit is allowed and counted.
func metered(limit string) string {
	if limit == unlimited {
		return limit
	}
	return limit + ", more is metered"
}

func widen(n *int32) int64 { return int64(ptr.Deref(n, 0)) }
