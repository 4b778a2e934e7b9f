package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/role"
)

// Allowlists implements web.Desk. Of more than 1,000, the first are listed: a Group has fewer that count.
func (d *Desk) Allowlists(ctx context.Context, of place.Group) (page.Allowlists, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return page.Allowlists{}, err
	}
	lists := &listing[v1alpha1.DomainAllowlist]{
		in: []string{of.Namespace}, into: func() client.ObjectList { return &v1alpha1.DomainAllowlistList{} },
		item: items(func(list *v1alpha1.DomainAllowlistList) []v1alpha1.DomainAllowlist { return list.Items }),
		keep: func(list *v1alpha1.DomainAllowlist) bool { return view.Refers(list.Spec.GroupRef, list.Namespace, of) },
		rows: manyRows, atOnce: manyAtOnce, options: []client.ListOption{ofGroup(of)},
	}
	all := *lists
	if !onlyOwn(&group.Spec.AllowlistsFrom) {
		all.in = []string{everywhere}
	}
	shown := page.Allowlists{}
	found, _, err := gather(ctx, d, &all, cursor{})
	if all.in[0] == everywhere && apierrors.IsForbidden(err) {
		shown.Within = of.Namespace
		found, _, err = gather(ctx, d, lists, cursor{})
	}
	if err != nil {
		return page.Allowlists{}, reading(err)
	}
	seen := &view.Sight{Group: of, Now: d.now()}
	for i := range found {
		shown.Lists = append(shown.Lists, seen.AllowlistLink(&found[i]))
	}
	return shown, nil
}

// Allowlist implements web.Desk.
func (d *Desk) Allowlist(ctx context.Context, of place.Group, namespace, name string, entered *web.EnteredAllowlist) (page.Allowlist, error) {
	group, list, seen, err := d.allowlist(ctx, of, namespace, name)
	if err != nil {
		return page.Allowlist{}, err
	}
	return seen.Allowlist(group, list, (*view.EnteredAllowlist)(entered), nil), nil
}

// AllowlistYAML implements web.Desk. The API server is asked whether it would accept it, also for what a tool keeps as Git has it.
func (d *Desk) AllowlistYAML(ctx context.Context, of place.Group, namespace, name string, entered web.EnteredAllowlist) (page.Allowlist, error) {
	group, list, seen, err := d.allowlist(ctx, of, namespace, name)
	if err != nil {
		return page.Allowlist{}, err
	}
	editor := seen.Allowlist(group, list, (*view.EnteredAllowlist)(&entered), nil)
	if editor.ReadOnly {
		return editor, nil
	}
	edited, problems := view.Edit(group, list, (*view.EnteredAllowlist)(&entered))
	if len(problems) > 0 {
		return page.Allowlist{}, &web.InvalidError{Fields: problems}
	}
	err = d.client.Patch(ctx, edited.DeepCopy(), client.MergeFrom(list), client.DryRunAll, fieldOwner)
	if err != nil && !cannotBeTried(err) {
		return page.Allowlist{}, changing(err)
	}
	editor.YAML, err = view.AllowlistYAML(edited)
	return editor, err
}

// SaveAllowlist implements web.Desk.
func (d *Desk) SaveAllowlist(ctx context.Context, of place.Group, namespace, name string, entered web.EnteredAllowlist) error {
	group, list, seen, err := d.allowlist(ctx, of, namespace, name)
	if err != nil {
		return err
	}
	if !role.May(seen.Role, role.ChangeAllowlist) {
		return lacks(role.ChangeAllowlist, namespace)
	}
	if tool := view.Managed(list); tool != "" {
		return invalid("", fmt.Sprintf("%s keeps this allowlist as Git has it, and would take the change back. Show the YAML, and commit it.", tool))
	}
	if entered.Version != "" && entered.Version != view.VersionOf(list) {
		return web.ErrConflict
	}
	edited, problems := view.Edit(group, list, (*view.EnteredAllowlist)(&entered))
	if len(problems) > 0 {
		return &web.InvalidError{Fields: problems}
	}
	// The lock makes sure that nobody has changed it since it was read.
	lock := client.MergeFromWithOptions(list, client.MergeFromWithOptimisticLock{})
	return changing(d.client.Patch(ctx, edited, lock, fieldOwner))
}

// allowlist reads an allowlist of a Group.
func (d *Desk) allowlist(ctx context.Context, of place.Group, namespace, name string) (*v1alpha1.Group, *v1alpha1.DomainAllowlist, *view.Sight, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return nil, nil, nil, err
	}
	list := &v1alpha1.DomainAllowlist{}
	if err := d.get(ctx, namespace, name, list); err != nil {
		return nil, nil, nil, err
	}
	if !view.Refers(list.Spec.GroupRef, list.Namespace, of) {
		return nil, nil, nil, web.ErrNotFound
	}
	seen, err := d.sight(ctx, of, namespace)
	return group, list, seen, err
}
