package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/hack/run/mounts"
)

// The Secret with the token for the validator's decisions, where kubectl keyward explain looks for it.
const (
	adminSecret     = "keyward-validator-admin"
	adminTokenEntry = "token"
)

// projectAdminToken makes the token, unless an earlier run has, and returns the file that it is in.
func (r *runner) projectAdminToken(ctx context.Context) (string, error) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: adminSecret},
		StringData: map[string]string{adminTokenEntry: rand.Text()},
	}
	if err := r.objects.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("make the token for decisions: %w", err)
	}
	volume := mounts.SecretVolume{Dir: r.local("validator", "admin"), Items: []string{adminTokenEntry}}
	mounted := mounts.Mirror(ctx, r.core, systemNamespace, adminSecret, []mounts.SecretVolume{volume}, r.fail)
	err := r.out.await(ctx, "the token for decisions", startTimeout, func(context.Context) error {
		select {
		case <-mounted:
			return nil
		default:
			return fmt.Errorf("there is no %s in Secret %s/%s", adminTokenEntry, systemNamespace, adminSecret)
		}
	})
	return filepath.Join(volume.Dir, adminTokenEntry), err
}
