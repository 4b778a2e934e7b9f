package plugin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

const verbAudit = "audit"

// auditFilter selects events.
type auditFilter struct {
	since, actor, kind string
	key                string
	from               time.Time
}

func (a *app) audit() *cobra.Command {
	filter, follow := &auditFilter{}, false
	cmd := &cobra.Command{
		Use:   "audit GROUP [KEY]",
		Short: "Show what has happened to a Group and its keys, and who did it",
		Long: `Show what has happened to a Group and its keys, and who did it, from the log of the Group.

With the name of an ApiKey, only what is about it. -o json prints each event as a CloudEvent on a line, and -o ocsf
only its OCSF event. A Group that was deleted is found by its name as long as its log is kept.`,
		Example: `  kubectl keyward -n acme audit acme
  kubectl keyward -n acme audit acme acme-web --since 30d --type key.rotated
  kubectl keyward -n acme audit acme --actor jane@acme.example -o ocsf
  kubectl keyward -n acme audit acme -f`,
		Args:              auditArguments,
		ValidArgsFunction: a.completeGroups,
		PreRunE:           func(*cobra.Command, []string) error { return filter.parse(a.now()) },
	}
	cmd.RunE = a.withSession(func(ctx context.Context, s *session, args []string) error {
		if len(args) > 1 {
			filter.key = args[1]
		}
		log, err := s.log(ctx, args[0])
		if err != nil {
			return err
		}
		events, err := log.events()
		if err != nil {
			a.narrate("! %s: kubectl keyward audit verify shows where", err)
		}
		selected := filter.events()
		if err := a.printEvents(slices.DeleteFunc(events, func(e groupevent.Event) bool { return !selected.Selects(&e) }), true); err != nil || !follow {
			return err
		}
		return a.followLog(ctx, s, log, selected)
	})
	cmd.Flags().StringVar(&filter.since, "since", "", "only what happened since then: a duration such as 30d, or a time such as 2026-11-27T08:00:00Z")
	cmd.Flags().StringVar(&filter.actor, "actor", "", "only what this user did")
	cmd.Flags().StringVar(&filter.kind, "type", "", "only events of this type, such as key.rotated, or of all that begin so, such as key")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens")
	cmd.AddCommand(a.auditVerify())
	return cmd
}

// auditArguments requires the name of a Group, and accepts that of a key.
func auditArguments(cmd *cobra.Command, args []string) error {
	if err := cobra.RangeArgs(1, 2)(cmd, args); err != nil {
		return err
	}
	if err := groupName(cmd, args[:1]); err != nil {
		return err
	}
	return optionalKeyName(cmd, args[1:])
}

// parse reads the flags.
func (f *auditFilter) parse(now time.Time) error {
	if f.since == "" {
		return nil
	}
	if length, err := model.ParseDuration(f.since); err == nil {
		f.from = now.Add(-time.Duration(length))
		return nil
	}
	at, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		return usagef("--since: write a duration such as 30d, or a time such as 2026-11-27T08:00:00Z")
	}
	f.from = at
	return nil
}

// events is the filter as the log knows it.
func (f *auditFilter) events() *groupevent.Filter {
	filter := &groupevent.Filter{Actor: f.actor, From: f.from}
	if f.kind != "" {
		filter.Types = []string{f.kind}
	}
	if f.key != "" {
		filter.Kind, filter.Object = "ApiKey", f.key
	}
	return filter
}

// auditLog is the log of a Group.
type auditLog struct {
	name, namespace, uid string
	segments             []v1alpha1.GroupLog
	// head is what the GroupUsage says; nil if there is none, or the user may not read it.
	head *v1alpha1.LogHead
	// exists reports whether the Group does.
	exists bool
}

// log reads the log of a Group, or of the last one that had the name.
func (s *session) log(ctx context.Context, name string) (*auditLog, error) {
	log := &auditLog{name: name, namespace: s.namespace}
	group := &v1alpha1.Group{}
	missing := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, group)
	if missing == nil {
		log.uid, log.exists = string(group.UID), true
		usage, err := s.usage(ctx, group)
		if err != nil {
			return nil, err
		}
		if string(usage.Status.GroupUID) == log.uid {
			log.head = usage.Status.Log
		}
	}
	options := []client.ListOption{client.InNamespace(s.namespace)}
	if log.exists {
		options = append(options, client.MatchingLabels{v1alpha1.LabelGroupUID: log.uid})
	}
	list := &v1alpha1.GroupLogList{}
	const page = 20
	for more := true; more; more = list.Continue != "" {
		if err := s.List(ctx, list, append(options, client.Limit(page), client.Continue(list.Continue))...); err != nil {
			return nil, err
		}
		for _, segment := range list.Items {
			if segment.Spec.Group == name {
				log.segments = append(log.segments, segment)
			}
		}
	}
	if !log.exists {
		if len(log.segments) == 0 {
			return nil, s.read(ctx, name, group, "Group", "kubectl get groups.keyward.dev -A")
		}
		latest := slices.MaxFunc(log.segments, func(a, b v1alpha1.GroupLog) int {
			return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
		})
		log.uid = string(latest.Spec.GroupUID)
		log.segments = slices.DeleteFunc(log.segments, func(s v1alpha1.GroupLog) bool { return string(s.Spec.GroupUID) != log.uid })
	}
	slices.SortFunc(log.segments, func(a, b v1alpha1.GroupLog) int {
		return cmp.Or(cmp.Compare(a.Spec.First, b.Spec.First), strings.Compare(a.Name, b.Name))
	})
	return log, nil
}

// events returns all events that can be read, and the first error.
func (l *auditLog) events() ([]groupevent.Event, error) {
	var events []groupevent.Event
	var unreadable error
	for i := range l.segments {
		more, err := eventsOf(&l.segments[i])
		events = append(events, more...)
		if unreadable == nil {
			unreadable = err
		}
	}
	return events, unreadable
}

func eventsOf(segment *v1alpha1.GroupLog) ([]groupevent.Event, error) {
	var events []groupevent.Event
	var unreadable error
	for _, line := range eventLines(segment) {
		event, err := groupevent.Decode([]byte(line))
		if err != nil {
			unreadable = fmt.Errorf("GroupLog %s has a line that is no event", segment.Name)
			continue
		}
		events = append(events, event)
	}
	return events, unreadable
}

func eventLines(segment *v1alpha1.GroupLog) []string { return groupevent.Lines(segment.Spec.Events) }

// printEvents prints events, with the head of the table if they are the first.
func (a *app) printEvents(events []groupevent.Event, first bool) error {
	var out strings.Builder
	for i := range events {
		var line []byte
		var err error
		switch a.output {
		case "json":
			line, err = events[i].Encode()
		case outputOCSF:
			line, err = events[i].OCSF()
		default:
			continue
		}
		if err != nil {
			return err
		}
		out.Write(append(line, '\n'))
	}
	if a.output == "json" || a.output == outputOCSF {
		return a.write([]byte(out.String()))
	}
	p := a.page(a.streams.Out)
	if first && len(events) == 0 {
		a.narrate("The log has no such event.")
	}
	rows := [][]cell{}
	if first && len(events) > 0 {
		rows = append(rows, texts("TIME", "TYPE", "OBJECT", "ACTOR", "VIA", "DETAILS"))
	}
	for i := range events {
		e := &events[i]
		rows = append(rows, texts(e.Time.Format(instant), e.Type.Short(), e.Subject.Name, or(e.Actor.User, "-"), e.Actor.Via, e.Details()))
	}
	p.table(rows)
	return a.write(p.Bytes())
}

// followLog prints what is appended to a log, until the command is interrupted.
func (a *app) followLog(ctx context.Context, s *session, log *auditLog, filter *groupevent.Filter) error {
	seen := uint64(0)
	if events, _ := log.events(); len(events) > 0 {
		seen = events[len(events)-1].Sequence
	}
	only := client.MatchingLabels{v1alpha1.LabelGroupUID: log.uid}
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
			logs := &v1alpha1.GroupLogList{}
			return logs, s.List(ctx, logs, &client.ListOptions{Raw: &raw}, client.InNamespace(log.namespace), only)
		},
		WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
			return s.Watch(ctx, &v1alpha1.GroupLogList{}, &client.ListOptions{Raw: &raw}, client.InNamespace(log.namespace), only)
		},
	}
	_, err := watchtools.UntilWithSync(ctx, list, &v1alpha1.GroupLog{}, nil, func(event watch.Event) (bool, error) {
		segment, ok := event.Object.(*v1alpha1.GroupLog)
		if !ok || event.Type == watch.Deleted {
			return false, nil
		}
		events, _ := eventsOf(segment)
		var shown []groupevent.Event
		for i := range events {
			if events[i].Sequence > seen && filter.Selects(&events[i]) {
				shown = append(shown, events[i])
			}
		}
		if len(events) > 0 {
			seen = max(seen, events[len(events)-1].Sequence)
		}
		return false, a.printEvents(shown, false)
	})
	if ctx.Err() != nil {
		return context.Canceled
	}
	return err
}

func (a *app) auditVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify GROUP",
		Short: "Verify that the log of a Group is whole and unchanged",
		Long: `Verify that the log of a Group is whole and unchanged: the hash of each event, the hash of the event before in each, and
that the log reaches as far as the GroupUsage of the Group says. It shows the first fault, and exits with 3.`,
		Example: "  kubectl keyward -n acme audit verify acme",
		Args:    groupName, ValidArgsFunction: a.completeGroups,
	}
	cmd.RunE = a.withSession(func(ctx context.Context, s *session, args []string) error {
		log, err := s.log(ctx, args[0])
		if err != nil {
			return err
		}
		view := log.verify()
		err = a.print(view, func(p *page) { p.verification(&view) })
		if err == nil && view.Fault != "" {
			return coded{ExitRefused, errSilent}
		}
		return err
	})
	return cmd
}

// verification is the result of verifying a log.
type verification struct {
	Namespace string `json:"namespace"`
	Group     string `json:"group"`
	GroupUID  string `json:"groupUID"`
	Segments  int    `json:"segments"`
	// Events were verified, from First to Last; Head is how far the log has to reach, where that is known.
	Events int    `json:"events"`
	First  uint64 `json:"first,omitempty"`
	Last   uint64 `json:"last,omitempty"`
	Hash   string `json:"hash,omitempty"`
	Head   uint64 `json:"head,omitempty"`
	// Fault is the first fault, At the number of the event, and Segment the GroupLog where it is.
	Fault   groupevent.Fault `json:"fault,omitempty"`
	At      uint64           `json:"at,omitempty"`
	Segment string           `json:"segment,omitempty"`
	Message string           `json:"message,omitempty"`
}

func (l *auditLog) verify() verification {
	view := verification{Namespace: l.namespace, Group: l.name, GroupUID: l.uid, Segments: len(l.segments)}
	begin, anchors := groupevent.Head{}, []groupevent.Head(nil)
	if l.head != nil {
		at := headOf(l.head.LogPosition)
		anchors, view.Head = append(anchors, at), at.Sequence
		if l.head.Pruned != nil {
			begin = headOf(l.head.Pruned.LogPosition)
		}
	} else if !l.exists && len(l.segments) > 0 {
		begin = before(&l.segments[0]) // how far it was pruned is not known any more
	}
	begin = l.notPruned(begin)
	verifier, last := groupevent.NewVerifier(l.uid, begin, anchors...), groupevent.Type("")
	fail := func(d *groupevent.Divergence, segment string) verification {
		view.Fault, view.At, view.Segment, view.Message = d.Fault, d.Sequence, segment, d.Message
		return view
	}
	for i := range l.segments {
		for _, line := range eventLines(&l.segments[i]) {
			event, divergence := verifier.Add([]byte(line))
			if divergence != nil {
				return fail(divergence, l.segments[i].Name)
			}
			if view.Events++; view.First == 0 {
				view.First = event.Sequence
			}
			view.Last, view.Hash, last = event.Sequence, event.Hash, event.Type
		}
	}
	if divergence := verifier.Close(); divergence != nil {
		return fail(divergence, "")
	}
	if !l.exists && last != groupevent.TypeGroupDeleted {
		return fail(&groupevent.Divergence{
			Fault: groupevent.MissingTail, Sequence: view.Last + 1, Message: "the Group is deleted, and its log does not end with that",
		}, "")
	}
	return view
}

// notPruned returns where the log begins, if the segments that were to be pruned are still there.
func (l *auditLog) notPruned(begin groupevent.Head) groupevent.Head {
	if len(l.segments) == 0 || uint64(l.segments[0].Spec.First) > begin.Sequence {
		return begin
	}
	return before(&l.segments[0])
}

// before returns the position that the first event of a segment says to follow.
func before(segment *v1alpha1.GroupLog) groupevent.Head {
	event, err := groupevent.Decode([]byte(eventLines(segment)[0]))
	if err != nil || event.Sequence == 0 {
		return groupevent.Head{}
	}
	return groupevent.Head{Sequence: event.Sequence - 1, ID: event.PrevID, Hash: event.PrevHash}
}

func headOf(position v1alpha1.LogPosition) groupevent.Head {
	return groupevent.Head{Sequence: uint64(position.Sequence), ID: position.ID, Hash: position.Hash}
}

func (p *page) verification(v *verification) {
	name := v.Namespace + "/" + v.Group
	if v.Fault != "" {
		p.line("The log of %s is %s at event %d: %s", name, p.paint(red, string(v.Fault)), v.At, v.Message)
		if v.Segment != "" {
			p.line("It is in GroupLog %s. The %d events before are as they were written.", v.Segment, v.Events)
		}
		return
	}
	if v.Events == 0 {
		p.line("The log of %s has no events.", name)
		return
	}
	p.line("The log of %s is %s: %d events in %d segments, %d to %d.", name, p.paint(green, "whole"), v.Events, v.Segments, v.First, v.Last)
	if v.Head == 0 {
		p.line("Whether its end is missing is not known: there is no GroupUsage that says how far it goes, or you may not read it.")
	}
	p.line("Its last hash is %s", v.Hash)
}
