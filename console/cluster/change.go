package cluster

import (
	"context"
	"crypto/rand"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/internal/declare"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/role"
)

// Rotate implements web.Desk.
func (d *Desk) Rotate(ctx context.Context, of place.Key) (page.Rotate, error) {
	at, err := d.open(ctx, of, role.RotateKey)
	if err != nil {
		return page.Rotate{}, err
	}
	return at.sight.Rotate(at.key), nil
}

// Suspend implements web.Desk.
func (d *Desk) Suspend(ctx context.Context, of place.Key) (page.Suspend, error) {
	at, recorded, err := d.openWithUse(ctx, of, role.SuspendKey)
	if err != nil {
		return page.Suspend{}, err
	}
	return at.sight.Suspend(at.group, recorded, at.key), nil
}

// Resume implements web.Desk.
func (d *Desk) Resume(ctx context.Context, of place.Key) (page.Resume, error) {
	at, err := d.open(ctx, of, role.ResumeKey)
	if err != nil {
		return page.Resume{}, err
	}
	return at.sight.Resume(at.group, at.key), nil
}

// Revoke implements web.Desk.
func (d *Desk) Revoke(ctx context.Context, of place.Key) (page.Revoke, error) {
	at, recorded, err := d.openWithUse(ctx, of, role.RevokeKey)
	if err != nil {
		return page.Revoke{}, err
	}
	return at.sight.Revoke(at.group, recorded, at.key), nil
}

// openWithUse is open with what was used of the Group: nothing, if the person may not read that.
func (d *Desk) openWithUse(ctx context.Context, of place.Key, o role.Operation) (*opened, *v1alpha1.GroupUsage, error) {
	at, err := d.open(ctx, of, o)
	if err != nil {
		return nil, nil, err
	}
	recorded, err := d.recorded(ctx, of.Group)
	if isMissing(err) {
		err = nil
	}
	return at, recorded, err
}

// DoRotate implements web.Desk. It requests a rotation by the annotation, so that the spec stays as it is in Git.
func (d *Desk) DoRotate(ctx context.Context, of place.Key, overlap string) error {
	at, err := d.open(ctx, of, role.RotateKey)
	if err != nil {
		return err
	}
	if reason := view.CannotRotate(at.key); reason != "" {
		return invalid("", reason)
	}
	if problem := view.OverlapProblem(at.key, overlap); problem != "" {
		return invalid("overlap", problem)
	}
	name := grant.NameRotateRequest(d.now(), strings.ToLower(rand.Text()[:6]))
	before := at.key.DeepCopy()
	declare.Rotation(at.key, grant.NewRotateRequest(name, v1alpha1.Duration(overlap)))
	return changing(d.client.Patch(ctx, at.key, client.MergeFrom(before), fieldOwner))
}

// DoSuspend implements web.Desk.
func (d *Desk) DoSuspend(ctx context.Context, of place.Key) error {
	return d.declare(ctx, of, role.SuspendKey, func(spec *v1alpha1.ApiKeySpec) { spec.Suspended = ptr.To(true) })
}

// DoResume implements web.Desk.
func (d *Desk) DoResume(ctx context.Context, of place.Key) error {
	return d.declare(ctx, of, role.ResumeKey, func(spec *v1alpha1.ApiKeySpec) { spec.Suspended = ptr.To(false) })
}

// DoRevoke implements web.Desk. To revoke what is revoked already is no error.
func (d *Desk) DoRevoke(ctx context.Context, of place.Key) error {
	return d.declare(ctx, of, role.RevokeKey, func(spec *v1alpha1.ApiKeySpec) { spec.Revoked = ptr.To(true) })
}

// declare changes spec.suspended or spec.revoked of a key.
func (d *Desk) declare(ctx context.Context, of place.Key, o role.Operation, change func(*v1alpha1.ApiKeySpec)) error {
	at, err := d.open(ctx, of, o)
	if err != nil {
		return err
	}
	if reason := view.HasEnded(at.key); reason != "" && o != role.RevokeKey {
		return invalid("", reason)
	}
	manifest, err := declare.Change(at.key, string(fieldOwner), change)
	if err != nil {
		return err
	}
	return changing(d.client.Patch(ctx, at.key, client.RawPatch(types.ApplyPatchType, manifest), fieldOwner, client.ForceOwnership))
}
