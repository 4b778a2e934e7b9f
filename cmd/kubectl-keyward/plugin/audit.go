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
		log, err := s.log(ctx, s.named(args[0]))
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
	cmd.Flags().StringVar(&filter.since, "since", "", "only what happened since then: a duration such as 30d, a day (UTC) such as 2026-11-27, or a time such as 2026-11-27T08:00:00Z")
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
	if f.kind != "" && !groupevent.AnyMatches(f.kind) {
		return usagef("--type: there is no event of this type: write one such as key.rotated, or what several begin with, such as key, group or notice")
	}
	if f.since == "" {
		return nil
	}
	if length, err := model.ParseDuration(f.since); err == nil {
		f.from = now.Add(-time.Duration(length))
		return nil
	}
	at, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		at, err = time.Parse(time.DateOnly, f.since)
	}
	if err != nil {
		return usagef("--since: write a duration such as 30d, a day (UTC) such as 2026-11-27, or a time such as 2026-11-27T08:00:00Z")
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
	for _, line := range groupevent.Lines(segment.Spec.Events) {
		event, err := groupevent.Decode([]byte(line))
		if err != nil {
			unreadable = fmt.Errorf("GroupLog %s has a line that is no event", segment.Name)
			continue
		}
		events = append(events, event)
	}
	return events, unreadable
}

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
		rows = append(rows, texts(e.Time.Format(instant), e.Type.Short(), e.Subject.Name, or(exact(e.Actor.User), "-"), e.Actor.Via, e.Details()))
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
