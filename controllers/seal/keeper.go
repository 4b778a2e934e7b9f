package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// SecretName names the Secret with the manager's secret, in the manager's namespace.
	SecretName = "keyward-seal"

	rootEntry = "root"
	// checkInterval is how often the leader checks that the Secret still exists.
	checkInterval = time.Minute
)

// ErrReplaced is the error of a Keeper whose Secret has another secret than before. The manager has to restart with the new
// secret, because part of its state was derived from the earlier one.
var ErrReplaced = errors.New("the manager's secret in Secret " + SecretName + " was replaced; restarting with the new one")

// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=secrets,verbs=get,resourceNames=keyward-seal

// Keeper reads the manager's secret, and creates it if there is none. The leader uses it, and replicas
// that receive reports of leaks. It is safe for concurrent use.
//
// mu guards root. It is nil as long as keys is, and never changed again; what Keys has returned may be used without mu. The first call
// of Keys holds mu while it asks the API server, so that only one secret is made.
type Keeper struct {
	// Reader reads past the cache.
	Reader client.Reader
	Client client.Client
	// Namespace of the manager.
	Namespace string
	// Random is the source of the secret: crypto/rand.Reader.
	Random io.Reader

	mu   sync.Mutex
	root []byte
	keys atomic.Pointer[Keys]
}

// Known returns what Keys does, if that is known already. It never waits.
func (k *Keeper) Known() *Keys { return k.keys.Load() }

// Keys returns what is derived from the secret. It asks the API server once.
func (k *Keeper) Keys(ctx context.Context) (*Keys, error) {
	if known := k.Known(); known != nil {
		return known, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.Known(); known != nil {
		return known, nil
	}
	root, err := k.obtain(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := NewKeys(root)
	if err != nil {
		return nil, fmt.Errorf("entry %q of Secret %s/%s: %w; restore the Secret from a backup", rootEntry, k.Namespace, SecretName, err)
	}
	k.root = root
	k.keys.Store(keys)
	return keys, nil
}

// obtain returns the secret, or creates one if there is none.
func (k *Keeper) obtain(ctx context.Context) ([]byte, error) {
	root, err := k.read(ctx)
	if !apierrors.IsNotFound(err) {
		return root, err
	}
	if root, err = newRoot(k.Random); err != nil {
		return nil, err
	}
	switch err := k.write(ctx, root); {
	case apierrors.IsAlreadyExists(err):
		return k.read(ctx)
	case err != nil:
		return nil, err
	}
	logf.FromContext(ctx).Info("Created the manager's secret; keep a copy of it with your backups", "namespace", k.Namespace,
		"secret", SecretName)
	return root, nil
}

func (k *Keeper) read(ctx context.Context) ([]byte, error) {
	secret := &corev1.Secret{}
	if err := k.Reader.Get(ctx, types.NamespacedName{Namespace: k.Namespace, Name: SecretName}, secret); err != nil {
		return nil, fmt.Errorf("reading the manager's secret: %w", err)
	}
	return secret.Data[rootEntry], nil
}

func (k *Keeper) write(ctx context.Context, root []byte) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.Namespace, Name: SecretName,
			Labels: map[string]string{"app.kubernetes.io/name": "keyward", "app.kubernetes.io/component": "manager"},
		},
		Immutable: ptr.To(true),
		Data:      map[string][]byte{rootEntry: root},
	}
	if err := k.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("writing the manager's secret: %w", err)
	}
	return nil
}

// NeedLeaderElection is true: only the leader seals.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Start checks the Secret periodically until the context ends: it writes the Secret again if that was deleted, and returns an
// error, with which the manager restarts, if it has another secret.
func (k *Keeper) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("seal")
	err := wait.PollUntilContextCancel(ctx, checkInterval, false, func(ctx context.Context) (bool, error) {
		switch err := k.Check(ctx); {
		case errors.Is(err, ErrReplaced):
			return false, err
		case err != nil:
			log.Error(err, "The manager's secret cannot be checked")
		}
		return false, nil
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the manager stops
	}
	return err
}

// Check compares the Secret with the secret that is in use.
func (k *Keeper) Check(ctx context.Context) error {
	k.mu.Lock()
	used := k.root
	k.mu.Unlock()
	if used == nil {
		return nil
	}
	root, err := k.read(ctx)
	switch {
	case apierrors.IsNotFound(err):
		logf.FromContext(ctx).Info("The manager's secret was deleted; writing it again", "namespace", k.Namespace, "secret", SecretName)
		return k.write(ctx, used)
	case err != nil:
		return err
	case !bytes.Equal(root, used):
		return ErrReplaced
	}
	return nil
}
