package installation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/internal/tier"
)

const (
	// maxServersBytes bounds the JSON of the servers, so that the object stays below 256 KiB: servers choose their names and reasons.
	maxServersBytes = 160 << 10
	// maxReason bounds why a server rejects a record, and maxIdentity its identity, in bytes.
	maxReason, maxIdentity = 256, 253
	// maxNamed is how many servers or sinks a message names.
	maxNamed = 5
	// refresh is after how long a status is written that says nothing else.
	refresh = 10 * time.Minute
)

// StatusOf returns what the Installation says as of an instant. Of what it said before it takes when conditions have changed, and whether
// an earlier leader knew servers.
func StatusOf(before *v1alpha1.InstallationStatus, facts *Facts, now time.Time) v1alpha1.InstallationStatus {
	servers := slices.SortedFunc(slices.Values(facts.Servers), compareServers)
	after := v1alpha1.InstallationStatus{
		Version: clip(facts.Version, 64), Leader: clip(facts.Leader, 253), UpdatedAt: instant(now),
		Tiers: tiersOf(facts.Tiers), Sinks: sinksOf(before.Sinks, facts.Sinks, now), Validators: validatorsOf(servers),
		Conditions: slices.Clone(before.Conditions),
	}
	set := conditions.Setter{Conditions: &after.Conditions, Now: now}
	sinksOK, sinksReason, sinksMessage := summarizeSinks(after.Sinks)
	set.Set(v1alpha1.ConditionSinksDelivering, sinksOK, sinksReason, sinksMessage)
	serversOK, serversReason, serversMessage := summarizeServers(servers)
	if len(servers) == 0 && lost(before, facts, now) {
		serversOK, serversReason, serversMessage = false, v1alpha1.ReasonServersLost, "no validation server has connected since the leader changed; "+
			"those that were connected to an earlier leader may go on deciding by what they had: let them connect, or wait until they are forgotten "+
			"(--sync-forget-after) if they do not run any more"
	}
	set.Set(v1alpha1.ConditionValidatorsCurrent, serversOK, serversReason, serversMessage)
	switch {
	case !serversOK:
		if !sinksOK {
			serversMessage += "; sinks fail, too"
		}
		set.Set(v1alpha1.ConditionReady, false, serversReason, serversMessage)
	case !sinksOK:
		set.Set(v1alpha1.ConditionReady, false, sinksReason, sinksMessage)
	default:
		set.Set(v1alpha1.ConditionReady, true, v1alpha1.ReasonReady, serversMessage+"; "+sinksMessage)
	}
	slices.SortFunc(after.Conditions, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
	return after
}

// lost reports whether there may be servers that an earlier leader knew, of which none has connected since. The leader itself knows of none.
func lost(before *v1alpha1.InstallationStatus, facts *Facts, now time.Time) bool {
	if facts.ForgetServersAfter > 0 && now.Sub(facts.LeadsSince) >= facts.ForgetServersAfter {
		return false
	}
	if current := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionValidatorsCurrent); current != nil && current.Reason == v1alpha1.ReasonServersLost {
		return true
	}
	known := ptr.Deref(before.Validators.Connected, 0) + ptr.Deref(before.Validators.Disconnected, 0)
	return before.Leader != clip(facts.Leader, maxIdentity) && known > 0
}

// NeedsWrite reports whether a status has to be written in place of the one before it: if it says something else, or every 10 minutes, by
// which is seen that a manager leads. When sinks were sent events, and since when they wait for some, moves on its own while Keyward is used,
// and is no reason.
func NeedsWrite(before, after *v1alpha1.InstallationStatus) bool {
	if before.UpdatedAt == nil || after.UpdatedAt.Sub(before.UpdatedAt.Time) >= refresh {
		return true
	}
	return !equality.Semantic.DeepEqual(withoutTimes(before), withoutTimes(after))
}

// withoutTimes returns a status without the times that move on their own.
func withoutTimes(status *v1alpha1.InstallationStatus) *v1alpha1.InstallationStatus {
	without := *status
	without.UpdatedAt = nil
	without.Sinks = slices.Clone(status.Sinks)
	for i := range without.Sinks {
		without.Sinks[i].LastDeliveredAt, without.Sinks[i].WaitingSince = nil, nil
	}
	return &without
}

func tiersOf(catalogue *tier.Catalogue) []v1alpha1.InstallationTier {
	if catalogue == nil {
		return nil
	}
	var tiers []v1alpha1.InstallationTier
	for i := range catalogue.Tiers[:min(len(catalogue.Tiers), v1alpha1.MaxInstallationTiers)] {
		of := &catalogue.Tiers[i]
		limits := of.Limits.DeepCopy()
		shown := v1alpha1.InstallationTier{
			Name: of.Name, Keys: limits.Keys, RequestsPerMonth: limits.RequestsPerMonth, BytesPerMonth: limits.BytesPerMonth,
			RequestsPerSecond: limits.RequestsPerSecond, Overage: limits.Overage,
		}
		if of.AuditLog {
			shown.AuditLog = new(true)
		}
		if of.Name == catalogue.Default {
			shown.Default = new(true)
		}
		tiers = append(tiers, shown)
	}
	return tiers
}

func validatorsOf(servers []Server) v1alpha1.InstallationValidators {
	var connected, disconnected, behind, rejecting int32
	for i := range servers {
		s := &servers[i]
		if s.DisconnectedSince.IsZero() {
			connected++
		} else {
			disconnected++
		}
		if !s.BehindSince.IsZero() {
			behind++
		}
		if s.Rejected > 0 {
			rejecting++
		}
	}
	shown := v1alpha1.InstallationValidators{Connected: &connected, Disconnected: &disconnected, Behind: &behind, Rejecting: &rejecting}
	size := 0
	for i := range servers[:min(len(servers), v1alpha1.MaxInstallationServers)] {
		server := serverOf(&servers[i])
		encoded, err := json.Marshal(server)
		if size += len(encoded); err != nil || size > maxServersBytes {
			break
		}
		shown.Servers = append(shown.Servers, server)
	}
	return shown
}

func serverOf(s *Server) v1alpha1.InstallationServer {
	server := v1alpha1.InstallationServer{
		Name: clip(s.Name, 253), Identity: clip(s.Identity, maxIdentity), Version: s.Version, ConnectedSince: instant(s.ConnectedSince),
		DisconnectedSince: instant(s.DisconnectedSince), BehindSince: instant(s.BehindSince),
	}
	if s.DisconnectedSince.IsZero() {
		server.Groups = number(s.Groups)
	}
	if s.Rejected > 0 {
		server.Rejected, server.RejectionReason = number(s.Rejected), clip(s.RejectionReason, maxReason)
	}
	return server
}

// summarizeServers returns whether all servers are current, and how that is said. servers are ordered.
func summarizeServers(servers []Server) (ok bool, reason, message string) {
	if len(servers) == 0 {
		return true, v1alpha1.ReasonNoServers, "no validation server is connected; servers that were connected to an earlier leader may go on deciding by what they had"
	}
	worst, counts := servers[0].trouble(), [4]int{}
	for i := range servers {
		counts[servers[i].trouble()]++
	}
	var names []string
	for i := range servers[:min(counts[worst], maxNamed)] {
		name := clip(servers[i].Name, maxIdentity)
		if servers[i].Identity != "" {
			name += " (" + clip(servers[i].Identity, maxIdentity) + ")"
		}
		names = append(names, name)
	}
	named := list(names, counts[worst])
	switch worst {
	case 0:
		says := ""
		if why := servers[0].RejectionReason; why != "" {
			says = fmt.Sprintf(", which says %q", clip(why, maxReason))
		}
		return false, v1alpha1.ReasonServersRejecting, fmt.Sprintf("validation servers that cannot use some record, and refuse what it is for: %s%s; "+
			"update them to the version of the manager%s", named, says, others(counts, worst))
	case 1:
		return false, v1alpha1.ReasonServersBehind, fmt.Sprintf("validation servers that lack updates, and decide by what they had: %s; "+
			"look at their logs, and at the network between them and the manager%s", named, others(counts, worst))
	case 2:
		return false, v1alpha1.ReasonServersGone, fmt.Sprintf("validation servers that were disconnected without a goodbye, and may go on deciding by what they had: %s; "+
			"let them connect again, or wait until they are forgotten (--sync-forget-after) if they do not run any more", named)
	default:
		return true, v1alpha1.ReasonServersCurrent, fmt.Sprintf("validation servers that have every update: %d", len(servers))
	}
}

// others counts the servers with less trouble than the worst.
func others(counts [4]int, worst int) string {
	var of []string
	for i, what := range []string{"rejecting", "behind", "gone"} {
		if i > worst && counts[i] > 0 {
			of = append(of, fmt.Sprintf("%d %s", counts[i], what))
		}
	}
	if len(of) == 0 {
		return ""
	}
	return "; others: " + strings.Join(of, ", ")
}

// list names the first few of so many.
func list(names []string, of int) string {
	shown := names[:min(len(names), maxNamed)]
	if more := of - len(shown); more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(shown, ", "), more)
	}
	return strings.Join(shown, ", ")
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const rest = "…"
	return strings.ToValidUTF8(text[:most-len(rest)], "") + rest
}

// instant is a time to the second, as the API has it; nil for the zero time.
func instant(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.UTC().Truncate(time.Second)}
}

func number(n int) *int32 { return new(int32(min(n, 1<<30))) } //nolint:gosec // it is bounded
