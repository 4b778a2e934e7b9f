package grouplog

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// Load reads all logs, and how far they have come.
func (w *Writer) Load(ctx context.Context) error {
	w.mu.Lock()
	w.complete = false
	w.mu.Unlock()
	chains := map[types.UID]*chain{}
	for _, namespace := range w.namespaces() {
		err := eachSegment(ctx, w.Reader, func(of *v1alpha1.GroupLog) {
			group := groupevent.Group{Namespace: of.Namespace, Name: of.Spec.Group, UID: string(of.Spec.GroupUID)}
			c := chains[of.Spec.GroupUID]
			if c == nil {
				c = w.newChain(group)
				chains[of.Spec.GroupUID] = c
			}
			if err := c.read(of); err != nil {
				reportUnreadable(ctx, of, err)
			}
		}, client.InNamespace(namespace))
		if err != nil {
			return err
		}
		if err := w.loadHeads(ctx, namespace, chains); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chains, w.complete = chains, true
	return nil
}

func (w *Writer) namespaces() []string {
	if len(w.Namespaces) == 0 {
		return []string{""}
	}
	return w.Namespaces
}

func reportUnreadable(ctx context.Context, of *v1alpha1.GroupLog, err error) {
	ctrl.LoggerFrom(ctx).Error(err, "A log of a Group has a line that is no event; kubectl keyward audit verify shows where",
		"namespace", of.Namespace, "name", of.Name)
}

func (w *Writer) loadHeads(ctx context.Context, namespace string, chains map[types.UID]*chain) error {
	return w.eachUsage(ctx, namespace, func(usage *v1alpha1.GroupUsage) error {
		w.ObserveUsage(usage)
		if usage.Status.Log == nil || usage.Status.GroupUID == "" {
			return nil
		}
		c := chains[usage.Status.GroupUID]
		if c == nil { // every segment is missing
			c = w.newChain(groupevent.Group{Namespace: usage.Namespace, Name: usage.Name, UID: string(usage.Status.GroupUID)})
			chains[usage.Status.GroupUID] = c
		}
		c.takeHead(ctx, usage.Status.Log)
		return nil
	})
}

// takeHead takes over what the GroupUsage says about a log.
func (c *chain) takeHead(ctx context.Context, of *v1alpha1.LogHead) {
	if c.pruned = of.Pruned; c.pruned != nil && c.head.Sequence == 0 {
		c.head = headOf(c.pruned.LogPosition)
	}
	if missing := c.continueFrom(headOf(of.LogPosition)); missing > 0 {
		ctrl.LoggerFrom(ctx).Error(errMissing, "The log goes on behind what is missing", "namespace", c.group.Namespace,
			"group", c.group.Name, "events", missing)
	}
}

var errMissing = errors.New("the end of the log of a Group is missing")

// reload reads a log again, and drops what is pending and was written.
func (w *Writer) reload(ctx context.Context, c *chain) error {
	c.forget()
	err := eachSegment(ctx, w.Reader, func(of *v1alpha1.GroupLog) {
		if err := c.read(of); err != nil {
			reportUnreadable(ctx, of, err)
		}
	}, client.InNamespace(c.group.Namespace), client.MatchingLabels{v1alpha1.LabelGroupUID: c.group.UID})
	if err != nil {
		return err
	}
	if c.pruned != nil && c.head.Sequence == 0 {
		c.head = headOf(c.pruned.LogPosition)
	}
	c.continueFrom(c.recorded)
	c.pending, c.waiting, c.stale = c.unknown(c.pending), map[id]struct{}{}, false
	for i := range c.pending {
		c.waiting[idOf(c.pending[i].ID)] = struct{}{}
		c.consider(&c.pending[i])
	}
	return nil
}
