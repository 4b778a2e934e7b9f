package plugin

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// lookAgain is how often the Secret of a claimed key is read. It is not watched, because the right to read Secrets does
// not include the right to watch them.
const lookAgain = 200 * time.Millisecond

// revelation is the document of reveal. The key is not in it.
type revelation struct {
	Namespace  string          `json:"namespace"`
	Name       string          `json:"name"`
	Secret     string          `json:"secret"`
	Entry      string          `json:"entry"`
	Version    int64           `json:"version"`
	Preview    string          `json:"preview"`
	Reveal     v1alpha1.Reveal `json:"reveal"`
	ExpiresAt  *metav1.Time    `json:"expiresAt,omitempty"`
	ClaimUntil *metav1.Time    `json:"claimUntil,omitempty"`
	version    *v1alpha1.KeyVersion
}

func (a *app) reveal() *cobra.Command {
	timeout := time.Duration(0)
	cmd := a.withKey(&cobra.Command{
		Use:   "reveal KEY",
		Short: "Print the text of a key, and claim it where it is revealed once",
		Long: `Print the text of a key on standard output, and nothing else there.

Where secret.reveal is Once, that claims it: the manager removes the text from the cluster, and reveal waits
until it is gone. With -o json or yaml, the key is neither printed nor claimed: the document says which version
there is to reveal, where, and until when.`,
		Example: `  kubectl keyward -n acme reveal acme-web
  kubectl keyward -n acme reveal pipeline | gh secret set KEYWARD_KEY`,
	}, func(ctx context.Context, s *session, key *v1alpha1.ApiKey) error {
		secret, text, found, err := s.find(ctx, key)
		if err != nil {
			return err
		}
		if a.output != "" {
			return a.print(found, nil)
		}
		return a.show(ctx, s, secret, text, found, timeout)
	})
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait until a claimed key is gone from the cluster")
	return cmd
}

// find reads the Secret of the key, and returns which version it holds.
func (s *session) find(ctx context.Context, key *v1alpha1.ApiKey) (*corev1.Secret, keyformat.Key, *revelation, error) {
	if err := requireLive(key); err != nil {
		return nil, keyformat.Key{}, nil, err
	}
	name := lifecycle.SecretName(key)
	current := lifecycle.Current(key.Status.Versions)
	secret := &corev1.Secret{}
	err := s.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err) && current != nil && current.ClaimedAt != nil && current.Cause == v1alpha1.CauseImported:
		return nil, keyformat.Key{}, nil, refusedf("version %d (%s) was imported by its hash: only its holder has the text. For a new one: "+
			"kubectl keyward -n %s rotate %s", current.ID, current.Preview, key.Namespace, key.Name)
	case apierrors.IsNotFound(err) && current != nil && current.ClaimedAt != nil:
		return nil, keyformat.Key{}, nil, refusedf("version %d (%s) was claimed, or its hour was over, at %s: its "+
			"text is nowhere in the cluster. For another: kubectl keyward -n %s rotate %s",
			current.ID, current.Preview, current.ClaimedAt.UTC().Format(instant), key.Namespace, key.Name)
	case apierrors.IsNotFound(err):
		return nil, keyformat.Key{}, nil, refusedf("the key is not delivered yet: kubectl keyward -n %s status %s says what it waits for",
			key.Namespace, key.Name)
	case err != nil:
		return nil, keyformat.Key{}, nil, err
	}
	if v, text := keystate.Carried(key, secret); v != nil {
		found := &revelation{
			Namespace: key.Namespace, Name: key.Name, Secret: name, Entry: v1alpha1.SecretKeyAPIKey, version: v,
			Version: v.ID, Preview: v.Preview, Reveal: key.Spec.Secret.Reveal, ExpiresAt: v.ExpiresAt,
		}
		if v.DeliveredAt != nil && key.Spec.Secret.Reveal == v1alpha1.RevealOnce {
			found.ClaimUntil = &metav1.Time{Time: v.DeliveredAt.Add(lifecycle.ClaimWithin)}
		}
		return secret, text, found, nil
	}
	return nil, keyformat.Key{}, nil, refusedf("Secret %s/%s does not hold a version of this key; if it does not "+
		"belong to the ApiKey, kubectl keyward -n %s status %s says so",
		key.Namespace, name, key.Namespace, key.Name)
}

// show prints the key, and claims it only after it is printed: after an earlier failure, the command can be repeated.
func (a *app) show(ctx context.Context, s *session, secret *corev1.Secret, text keyformat.Key, found *revelation,
	timeout time.Duration) error {
	printed := text.Reveal()
	if isTerminal(a.streams.Out) {
		printed += "\n"
	}
	if _, err := io.WriteString(a.streams.Out, printed); err != nil {
		return fmt.Errorf("the key could not be printed, and was not claimed: %w", err)
	}
	if found.Reveal != v1alpha1.RevealOnce {
		a.narrate("Version %d (%s). It remains in Secret %s/%s for anyone who may read that.", found.Version,
			found.Preview, secret.Namespace, secret.Name)
		return nil
	}
	a.narrate("Version %d (%s). This is the only time that it is shown: keep it now.", found.Version, found.Preview)
	before := secret.DeepCopy()
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[v1alpha1.AnnotationClaimed] = "true"
	// The lock makes sure that what is claimed is what was printed.
	err := s.Patch(ctx, secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), fieldOwner)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("the key is printed, but not claimed: %w", err)
	}
	return a.awaitGone(ctx, s, secret, timeout)
}

// awaitGone waits until the Secret is gone, or another that does not hold the text.
func (a *app) awaitGone(ctx context.Context, s *session, claimed *corev1.Secret, timeout time.Duration) error {
	text := string(claimed.Data[v1alpha1.SecretKeyAPIKey])
	err := wait.PollUntilContextTimeout(ctx, lookAgain, timeout, true, func(ctx context.Context) (bool, error) {
		secret := &corev1.Secret{}
		err := s.Get(ctx, client.ObjectKeyFromObject(claimed), secret)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return err == nil && string(secret.Data[v1alpha1.SecretKeyAPIKey]) != text, err
	})
	switch {
	case ctx.Err() != nil:
		return context.Canceled
	case wait.Interrupted(err):
		return coded{ExitTimeout, fmt.Errorf("the key is printed and claimed, but still in Secret %s/%s after %s: "+
			"the manager removes it once it runs again",
			claimed.Namespace, claimed.Name, timeout)}
	case err != nil:
		return fmt.Errorf("the key is printed and claimed; whether it is gone from the cluster is not known: %w", err)
	}
	a.narrate("It is gone from the cluster: only its digest and preview remain.")
	return nil
}
