package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// attempts is how often a write is tried when something else in the object changes.
	attempts = 5

	// maxServers is how many accounts, one per server, a period of a GroupUsage can take.
	maxServers = 255

	// pageSize is how many GroupUsages are listed at once.
	pageSize = 250

	// ObjectWrites is the maximum number of writes of GroupUsages and KeyUsages per second.
	ObjectWrites = 40
)

// +kubebuilder:rbac:groups=keyward.dev,resources=groupusages,verbs=create;get;list;patch
// +kubebuilder:rbac:groups=keyward.dev,resources=groupusages/status,verbs=patch

// Traffic has what was seen of groups, namespace/name, and is not recorded yet.
type Traffic interface {
	// Take returns what was seen of a group since the last time. What could not be recorded is given back.
	Take(group string) usageseries.Traffic
	GiveBack(group string, seen usageseries.Traffic)
}

// Objects keeps ledgers in the GroupUsages of Groups, together with the series of what was used, and those of keys in KeyUsages. It is
// the only writer of both. They are not cached: nothing watches them, and a write wakes nobody.
type Objects struct {
	// Client writes. Reader reads past any cache, because an earlier leader may still write, too. Groups reads Groups and ApiKeys; it
	// may be a cache, to which these belong: they are only read.
	Client client.Client
	Reader client.Reader
	Groups client.Reader
	Clock  clock.PassiveClock
	// Traffic is recorded with each write; nil if there is none.
	Traffic Traffic
	// Wrote, where set, is called with each GroupUsage that was written, which it must not keep or change. It must not block.
	Wrote func(usage *v1alpha1.GroupUsage)
	// Billed, where set, reports whether the GroupUsage that is made for a Group is to stay, with the finalizer of billing, until what
	// was used is billed. Whoever says so removes the finalizer.
	Billed func(ctx context.Context, group *v1alpha1.Group) bool
	// Recorder, where set, is for events about Groups.
	Recorder events.EventRecorder
}

// object is a GroupUsage as it was read, and its Group.
type object struct {
	group *v1alpha1.Group // as the cache has it
	// usage is what will be written, and stored what was read.
	usage, stored *v1alpha1.GroupUsage
	// exists reports whether the API server has it, and ours whether what it has is about this Group, and not about one that had
	// the name before.
	exists, ours bool
}

// Load implements Store. A period without a ledger begins with what is known to be used of it.
func (s *Objects) Load(ctx context.Context, key Key) (Entry, error) {
	if key.Owner != "" {
		return s.loadKey(ctx, key)
	}
	read, err := s.read(ctx, key.Group)
	if err != nil {
		return Entry{}, err
	}
	entry := Entry{Version: read.version(key.Period)}
	if kept := ledgerIn(read.usage.Status.Ledgers, key.Period); kept != nil {
		entry.Ledger = ledgerOf(kept)
	} else {
		entry.Ledger = read.recover(key.Period)
	}
	return entry, nil
}

// recover returns the ledger of a period whose accounts are not known: with what the GroupUsage shows of it, or else the Group.
func (o *object) recover(period quotaledger.Period) *quotaledger.Ledger {
	totals, known := usageseries.Of(&o.usage.Status, period)
	if shown := o.group.Status.Usage; !known && shown != nil && shown.Period == period.String() {
		totals = usageseries.TotalsOf(shown.UsageCounts)
	}
	return quotaledger.Recover(totals.Requests, totals.Unconfirmed, totals.Bytes)
}

func (s *Objects) read(ctx context.Context, name string) (*object, error) {
	group, err := s.groupOf(ctx, name)
	if err != nil {
		return nil, err
	}
	o := &object{group: group, usage: &v1alpha1.GroupUsage{}}
	switch err := s.Reader.Get(ctx, client.ObjectKeyFromObject(group), o.usage); {
	case apierrors.IsNotFound(err):
		o.usage = &v1alpha1.GroupUsage{}
	case err != nil:
		return nil, fmt.Errorf("reading the GroupUsage: %w", err)
	default:
		o.exists, o.ours = true, isAbout(o.usage, o.group)
	}
	o.stored = o.usage.DeepCopy()
	if o.exists && !o.ours && slices.Contains(o.usage.Finalizers, v1alpha1.FinalizerBilling) {
		return nil, errHeld // it is let go within a minute
	}
	if !o.ours {
		o.usage.Status = v1alpha1.GroupUsageStatus{}
	}
	if o.usage.Status.GroupUID != o.group.UID {
		o.usage.Status.Log = nil // somebody has restored it: the log was that of another Group, and so were the keys
		o.usage.Status.RefusedKeys = nil
	}
	return o, nil
}

// groupOf returns a Group, namespace/name, as the cache has it. Errors: ErrNoGroup.
func (s *Objects) groupOf(ctx context.Context, name string) (*v1alpha1.Group, error) {
	namespace, name, _ := strings.Cut(name, "/")
	group := &v1alpha1.Group{}
	err := s.Groups.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, group, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil, ErrNoGroup
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Group: %w", err)
	}
	return group, nil
}

// isAbout reports whether what a GroupUsage has is about the Group. It is about one that had the same name before if it has that
// one's UID, and is owned by that one: without an owner, or with this Group as its owner, somebody has restored it.
func isAbout(usage *v1alpha1.GroupUsage, group *v1alpha1.Group) bool {
	if usage.Status.GroupUID == "" || usage.Status.GroupUID == group.UID {
		return true
	}
	for _, owner := range usage.OwnerReferences {
		if owner.Kind == kindGroup && owner.UID != group.UID {
			return false
		}
	}
	return true
}

const kindGroup = "Group"

var errHeld = errors.New("what an earlier Group with the name has used is not closed for billing yet")

func ownerOf(group *v1alpha1.Group) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: kindGroup, Name: group.Name, UID: group.UID}
}

// version identifies the ledger of a period. It is not the resourceVersion, which changes with that of another one.
func (o *object) version(period quotaledger.Period) string {
	if !o.exists || !o.ours {
		return string(o.group.UID)
	}
	revision := int64(0)
	if kept := ledgerIn(o.usage.Status.Ledgers, period); kept != nil && kept.Revision != nil {
		revision = *kept.Revision
	}
	return fmt.Sprintf("%s/%s/%d", o.group.UID, o.usage.UID, revision)
}

// span returns a period with its end.
func (o *object) span(period quotaledger.Period) quotaledger.Span {
	return tier.Schedule(o.group).SpanOf(period)
}

// isLost reports whether the version is of a GroupUsage of this Group that does not exist any more.
func (o *object) isLost(version string) bool {
	return !o.exists && strings.HasPrefix(version, string(o.group.UID)+"/")
}

// Save implements Store. It reads the GroupUsage first, and the API server refuses the write if that was changed in the
// meantime, so that nothing is overwritten that was not read. If somebody has deleted it, it is made again from the entry.
func (s *Objects) Save(ctx context.Context, key Key, entry Entry, totals Totals) (string, error) {
	if len(entry.Ledger.Servers) > maxServers {
		return "", fmt.Errorf("%w: a GroupUsage takes %d; use --usage-store", ErrFull, maxServers)
	}
	if key.Owner != "" {
		return s.saveKey(ctx, key, entry)
	}
	written, err := s.update(ctx, key.Group, func(o *object) error {
		lost := o.isLost(entry.Version)
		if !lost && o.version(key.Period) != entry.Version {
			return ErrConflict
		}
		if lost || !o.exists && entry.Ledger.Unattributed != (quotaledger.Counters{}) {
			s.reportLost(o.group, lost)
			usageseries.Begin(&o.usage.Status, s.Clock.Now(), o.span(key.Period), totals)
		}
		return keep(&o.usage.Status.Ledgers, key.Period, entry.Ledger)
	}, &key.Period, totals)
	if err != nil {
		return "", err
	}
	return written.version(key.Period), nil
}

// Publish records the totals of a period whose ledger is kept elsewhere. Errors: ErrNoGroup, also if the key has the UID of another Group
// that had the name before.
func (s *Objects) Publish(ctx context.Context, key Key, totals Totals) error {
	_, err := s.update(ctx, key.Group, func(o *object) error {
		if key.UID != "" && key.UID != o.group.UID {
			return ErrNoGroup
		}
		return nil
	}, &key.Period, totals)
	return err
}

// RecordTraffic records what was seen of a group that has nothing else to record. Errors: ErrNoGroup.
func (s *Objects) RecordTraffic(ctx context.Context, group string) error {
	_, err := s.update(ctx, group, func(*object) error { return nil }, nil, Totals{})
	return err
}

// Recover returns the ledger of a period of which only the totals are known. Errors: ErrNoGroup.
func (s *Objects) Recover(ctx context.Context, key Key) (*quotaledger.Ledger, error) {
	if key.Owner != "" {
		return s.recoverKey(ctx, key)
	}
	read, err := s.read(ctx, key.Group)
	if err != nil {
		return nil, err
	}
	return read.recover(key.Period), nil
}

// Each calls f with the totals of the running period of each group that has a GroupUsage, in these namespaces, or in all if there
// are none.
func (s *Objects) Each(ctx context.Context, namespaces []string, f func(key Key, totals Totals)) error {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		list := &v1alpha1.GroupUsageList{}
		for page := true; page; page = list.Continue != "" {
			err := s.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(list.Continue))
			if err != nil {
				return fmt.Errorf("listing GroupUsages: %w", err)
			}
			for i := range list.Items {
				usage, group := &list.Items[i], &v1alpha1.Group{}
				err := s.Groups.Get(ctx, client.ObjectKeyFromObject(usage), group, client.UnsafeDisableDeepCopy)
				if err != nil || !isAbout(usage, group) {
					continue // it is being collected
				}
				key := Key{Group: client.ObjectKeyFromObject(usage).String(), Period: tier.Schedule(group).At(s.Clock.Now()).Period}
				if totals, known := usageseries.Of(&usage.Status, key.Period); known {
					f(key, totals)
				}
			}
		}
	}
	return nil
}

// update changes a GroupUsage, and records the totals of the period, if there is one, and the traffic.
func (s *Objects) update(ctx context.Context, group string, change func(*object) error, period *quotaledger.Period, totals Totals,
) (written *object, err error) {
	var seen usageseries.Traffic
	if s.Traffic != nil {
		seen = s.Traffic.Take(group)
		defer func() {
			if err != nil {
				s.Traffic.GiveBack(group, seen)
			}
		}()
	}
	for range attempts {
		o, err := s.read(ctx, group)
		if err != nil {
			return nil, err
		}
		if err := change(o); err != nil {
			return nil, err
		}
		now := s.Clock.Now()
		o.usage.Status.GroupUID = o.group.UID
		if period != nil {
			usageseries.Record(&o.usage.Status, now, o.span(*period), totals)
		}
		usageseries.RecordTraffic(&o.usage.Status, now, tier.Schedule(o.group).At(now), seen)
		s.recordRefusedKeys(ctx, o, now, seen.Keys)
		usageseries.Touch(&o.usage.Status, now)
		err = s.write(ctx, o)
		switch {
		case err == nil:
			if s.Wrote != nil {
				s.Wrote(o.usage)
			}
			return o, nil
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
			// Somebody has changed, made or deleted it: look again.
		default:
			return nil, fmt.Errorf("recording the usage: %w", err)
		}
	}
	return nil, ErrConflict
}

// write writes a GroupUsage. The status of one that is not ours yet is replaced before it becomes that of the Group: a crash in
// between leaves one that says whose it is.
func (s *Objects) write(ctx context.Context, o *object) error {
	status := o.usage.Status
	if !o.exists {
		o.usage.ObjectMeta = metav1.ObjectMeta{
			Namespace: o.group.Namespace, Name: o.group.Name, OwnerReferences: []metav1.OwnerReference{ownerOf(o.group)},
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		}
		if s.Billed != nil && s.Billed(ctx, o.group) {
			o.usage.Finalizers = []string{v1alpha1.FinalizerBilling}
		}
		if err := s.Client.Create(ctx, o.usage); err != nil {
			return err
		}
		o.exists, o.stored, o.usage.Status = true, o.usage.DeepCopy(), status
	}
	if err := s.Client.Status().Patch(ctx, o.usage, locked(o.stored)); err != nil {
		return err
	}
	o.ours = true
	if owners := o.usage.OwnerReferences; len(owners) == 1 && owners[0].UID == o.group.UID {
		return nil
	}
	written := o.usage.DeepCopy()
	o.usage.OwnerReferences = []metav1.OwnerReference{ownerOf(o.group)}
	// If it was collected with its earlier owner, the next write makes it again.
	return client.IgnoreNotFound(s.Client.Patch(ctx, o.usage, locked(written)))
}

func locked(before *v1alpha1.GroupUsage) client.Patch {
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}

// reportLost sends an event about a GroupUsage that somebody has deleted, and that is made again.
func (s *Objects) reportLost(group *v1alpha1.Group, exactly bool) {
	if s.Recorder == nil {
		return
	}
	how := "what the status of the Group shows, and what validation servers that run report, counts for the quota"
	if exactly {
		how = "its quota is as it was"
	}
	s.Recorder.Eventf(group, nil, corev1.EventTypeWarning, v1alpha1.ReasonUsageDeleted, "Count",
		"the GroupUsage was deleted, and is made again: %s; its earlier days and months are lost", how)
}
