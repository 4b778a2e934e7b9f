package plugin

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

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
		log, err := s.log(ctx, s.named(args[0]))
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
		for _, line := range groupevent.Lines(l.segments[i].Spec.Events) {
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
	event, err := groupevent.Decode([]byte(groupevent.Lines(segment.Spec.Events)[0]))
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
