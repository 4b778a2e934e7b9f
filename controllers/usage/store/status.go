package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// folded names the entry that has the sum of accounts that were closed and folded.
const folded = "*"

// attempts is how often a write is tried when something else in the Group changes.
const attempts = 5

// maxServers is how many accounts, one per server, the status of a Group can take.
const maxServers = 256

// StatusWrites is the maximum number of writes of usage into the status of Groups per second.
const StatusWrites = 40

// +kubebuilder:rbac:groups=keyward.dev,resources=groups,verbs=get

// Status keeps ledgers in the status of their Groups: the ledger of this month in usage, that of the last month in
// previousUsage.
type Status struct {
	// Client writes. Reader reads past any cache, because others write, too.
	Client client.StatusClient
	Reader client.Reader
	// Describe, where set, completes a status that is about to be written, if that has an entry of the current month.
	Describe func(group *v1alpha1.Group)
	// Wrote, where set, is called after each write.
	Wrote func(before, group *v1alpha1.Group)
}

// Load implements Store.
func (s *Status) Load(ctx context.Context, key Key) (Entry, error) {
	group, err := s.read(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Ledger: ledgerOf(usageOf(group, key.Month)), Version: version(group, key.Month)}, nil
}

func (s *Status) read(ctx context.Context, key Key) (*v1alpha1.Group, error) {
	namespace, name, _ := strings.Cut(key.Group, "/")
	group := &v1alpha1.Group{}
	err := s.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, group)
	if apierrors.IsNotFound(err) {
		return nil, ErrNoGroup
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Group: %w", err)
	}
	return group, nil
}

// version identifies the ledger of the month. It is not the Group's resourceVersion, which changes with every change of the
// Group.
func version(group *v1alpha1.Group, month quotaledger.Month) string {
	usage := usageOf(group, month)
	if usage == nil {
		return string(group.UID)
	}
	return fmt.Sprintf("%s/%d", group.UID, ptr.Deref(usage.Revision, 0))
}

// Save implements Store. It reads the Group first, and the API server refuses the write if the Group was changed in the
// meantime, so that nothing is overwritten that was not read.
func (s *Status) Save(ctx context.Context, key Key, entry Entry, totals Totals) (string, error) {
	if len(entry.Ledger.Servers) >= maxServers {
		return "", fmt.Errorf("%w: the status of a Group takes %d; use --usage-store", ErrFull, maxServers)
	}
	for range attempts {
		group, err := s.read(ctx, key)
		if err != nil {
			return "", err
		}
		if version(group, key.Month) != entry.Version {
			return "", ErrConflict
		}
		err = s.write(ctx, group, key, entry, totals)
		switch {
		case err == nil:
			return version(group, key.Month), nil
		case apierrors.IsNotFound(err):
			return "", ErrNoGroup
		case !apierrors.IsConflict(err): // a conflict is usually a change of something else in the Group
			return "", err
		}
	}
	return "", ErrConflict
}

func (s *Status) write(ctx context.Context, group *v1alpha1.Group, key Key, entry Entry, totals Totals) error {
	before := group.DeepCopy()
	usage := usageFor(group, key.Month)
	if usage == nil {
		return errors.New("two later months have begun, and status has no room for an earlier one")
	}
	fill(usage, key.Month, entry.Ledger, totals)
	return s.patch(ctx, before, group)
}

// Publish writes the totals of a month whose ledger is kept elsewhere. Errors: ErrNoGroup.
func (s *Status) Publish(ctx context.Context, key Key, totals Totals) error {
	group, err := s.read(ctx, key)
	if err != nil {
		return err
	}
	before := group.DeepCopy()
	usage := usageFor(group, key.Month)
	if usage == nil {
		return nil // the month is too long ago
	}
	fill(usage, key.Month, &quotaledger.Ledger{}, totals)
	return s.patch(ctx, before, group)
}

func (s *Status) patch(ctx context.Context, before, group *v1alpha1.Group) error {
	if s.Describe != nil {
		s.Describe(group)
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Status().Patch(ctx, group, patch); err != nil {
		return fmt.Errorf("recording the usage: %w", err)
	}
	if s.Wrote != nil {
		s.Wrote(before, group)
	}
	return nil
}

// usageOf returns what the status has of a month, or nil.
func usageOf(group *v1alpha1.Group, month quotaledger.Month) *v1alpha1.GroupUsage {
	for _, usage := range []*v1alpha1.GroupUsage{group.Status.Usage, group.Status.PreviousUsage} {
		if usage != nil && usage.Period == month.String() {
			return usage
		}
	}
	return nil
}

// usageFor returns the place of a month in the status. A new month moves the one before it. It returns nil if there is no
// room, because the month is too long ago.
func usageFor(group *v1alpha1.Group, month quotaledger.Month) *v1alpha1.GroupUsage {
	if usage := usageOf(group, month); usage != nil {
		return usage
	}
	status, usage := &group.Status, &v1alpha1.GroupUsage{}
	switch {
	case status.Usage == nil || status.Usage.Period < month.String():
		status.PreviousUsage, status.Usage = status.Usage, usage
	case status.PreviousUsage == nil || status.PreviousUsage.Period < month.String():
		status.PreviousUsage = usage
	default:
		return nil
	}
	return usage
}

func fill(usage *v1alpha1.GroupUsage, month quotaledger.Month, l *quotaledger.Ledger, totals Totals) {
	usage.Period, usage.ResetsAt = month.String(), metav1.NewTime(month.End())
	usage.Revision = ptr.To(ptr.Deref(usage.Revision, 0) + 1)
	usage.Requests, usage.Bytes = ptr.To(int64(totals.Requests)), ptr.To(int64(totals.Bytes))
	usage.OverageRequests, usage.OverageBytes = counter(totals.OverageRequests), counter(totals.OverageBytes)
	usage.UnconfirmedRequests = counter(totals.Unconfirmed)
	usage.Ledger = nil
	for server, counts := range l.Servers {
		usage.Ledger = append(usage.Ledger, entryOf(server, counts))
	}
	if l.Folded != (quotaledger.Counters{}) {
		usage.Ledger = append(usage.Ledger, entryOf(folded, l.Folded))
	}
	slices.SortFunc(usage.Ledger, func(a, b v1alpha1.LedgerEntry) int { return strings.Compare(a.Server, b.Server) })
}

func entryOf(server string, a quotaledger.Counters) v1alpha1.LedgerEntry {
	entry := v1alpha1.LedgerEntry{
		Server: server, Leased: counter(a.Leased), Sequence: counter(a.Sequence), Spent: counter(a.Spent),
		Requests: counter(a.Requests), Bytes: counter(a.Bytes), UnconfirmedRequests: counter(a.Unconfirmed),
	}
	if a.Closed {
		entry.Closed = ptr.To(true)
	}
	return entry
}

// counter returns nil for zero, which is left out.
func counter(n uint64) *int64 {
	if n == 0 {
		return nil
	}
	return ptr.To(int64(n))
}

func ledgerOf(usage *v1alpha1.GroupUsage) *quotaledger.Ledger {
	l := &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{}}
	if usage == nil {
		return l
	}
	for _, entry := range usage.Ledger {
		counts := quotaledger.Counters{
			Leased: number(entry.Leased), Sequence: number(entry.Sequence), Spent: number(entry.Spent),
			Requests: number(entry.Requests), Bytes: number(entry.Bytes), Unconfirmed: number(entry.UnconfirmedRequests),
			Closed: ptr.Deref(entry.Closed, false),
		}
		if entry.Server == folded {
			l.Folded = counts
		} else {
			l.Servers[entry.Server] = counts
		}
	}
	return l
}

func number(n *int64) uint64 { return uint64(max(0, ptr.Deref(n, 0))) }
