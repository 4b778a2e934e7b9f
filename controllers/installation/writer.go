package installation

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// +kubebuilder:rbac:groups=keyward.dev,namespace=keyward-system,resources=installations,verbs=create
// +kubebuilder:rbac:groups=keyward.dev,namespace=keyward-system,resources=installations,verbs=get,resourceNames=keyward
// +kubebuilder:rbac:groups=keyward.dev,namespace=keyward-system,resources=installations/status,verbs=update,resourceNames=keyward

// Interval is how often it is looked how Keyward is, and so the least time between two writes.
const Interval = 30 * time.Second

// Writer writes the Installation while this manager leads.
type Writer struct {
	// Reader reads past the cache: nothing else reads Installations, and a watch would cost more than a read in 30 seconds.
	Reader    client.Reader
	Client    client.Client
	Namespace string
	Clock     clock.WithTicker
	// Facts collects the facts as of an instant. It must not block for long.
	Facts func(now time.Time) *Facts
	// Opened is closed when servers can connect. Until then nothing is known of them, and nothing is written.
	Opened <-chan struct{}
}

// NeedLeaderElection is true: only the leader knows which servers are connected.
func (w *Writer) NeedLeaderElection() bool { return true }

// Start looks until the context ends. The first look is an interval after servers can connect, because those of an earlier leader have by then; or
// at once if there is no Installation yet, because there was no earlier leader.
func (w *Writer) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.Opened:
	}
	ticker := w.Clock.NewTicker(Interval)
	defer ticker.Stop()
	first := make(chan struct{})
	name := client.ObjectKey{Namespace: w.Namespace, Name: v1alpha1.InstallationName}
	if apierrors.IsNotFound(w.Reader.Get(ctx, name, &v1alpha1.Installation{})) {
		close(first)
	}
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		case <-first:
		}
		first = nil
		_, err := w.Look(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "The Installation does not say how Keyward is; it will be tried again")
		}
		failing = err != nil
	}
}

// Look writes the Installation if it says something else than what is, and reports whether it did. What somebody else has written in the
// meantime is read again with the next look.
func (w *Writer) Look(ctx context.Context) (wrote bool, err error) {
	now := w.Clock.Now()
	installation := &v1alpha1.Installation{}
	err = w.Reader.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: v1alpha1.InstallationName}, installation)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading the Installation: %w", err)
	}
	missing := err != nil
	status := StatusOf(&installation.Status, w.Facts(now), now)
	if !missing && !NeedsWrite(&installation.Status, &status) {
		return false, nil
	}
	if missing {
		installation = &v1alpha1.Installation{ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, Name: v1alpha1.InstallationName,
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		}}
		if err := w.Client.Create(ctx, installation); err != nil {
			return false, fmt.Errorf("creating the Installation: %w", err)
		}
	}
	installation.Status = status
	if err := w.Client.Status().Update(ctx, installation); err != nil {
		return false, fmt.Errorf("writing the Installation: %w", err)
	}
	return true, nil
}
