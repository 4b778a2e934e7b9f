package plugin

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/declare"
)

// fieldOwner is the name under which the plugin's edits are recorded. Flux takes over what managers have set whose names begin
// with kubectl, and removes it where Git does not have it: a suspension would end at its next run.
const fieldOwner = client.FieldOwner("keyward-cli")

// patch declares what a change sets of spec.suspended and spec.revoked.
func (s *session) patch(ctx context.Context, key *v1alpha1.ApiKey, change func(*v1alpha1.ApiKeySpec)) error {
	manifest, err := declare.Change(key, string(fieldOwner), change)
	if err != nil {
		return err
	}
	return s.Patch(ctx, key, client.RawPatch(types.ApplyPatchType, manifest), fieldOwner, client.ForceOwnership)
}
