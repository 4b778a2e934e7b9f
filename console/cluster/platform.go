package cluster

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/view"
)

// Platform implements web.Desk.
func (d *Desk) Platform(ctx context.Context) (page.Platform, error) {
	installation := &v1alpha1.Installation{}
	err := d.client.Get(ctx, client.ObjectKey{Namespace: d.manager, Name: v1alpha1.InstallationName}, installation)
	switch {
	case apierrors.IsForbidden(err):
		return page.Platform{}, forbidden("see how Keyward itself is, which needs the right to get the Installation in the namespace %s: the ClusterRole "+
			"keyward-installation-reader, bound there, gives it", d.manager)
	case apierrors.IsNotFound(err):
		return page.Platform{Missing: d.manager}, nil
	case err != nil:
		return page.Platform{}, err
	}
	return view.Platform(installation, d.now()), nil
}

// seesPlatform reports whether the person may see how Keyward itself is. If that is not known, it is not offered.
func (d *Desk) seesPlatform(ctx context.Context) bool {
	allowed, err := d.may(ctx, authorizationv1.ResourceAttributes{
		Group: v1alpha1.GroupVersion.Group, Resource: "installations", Verb: "get", Namespace: d.manager, Name: v1alpha1.InstallationName,
	})
	return err == nil && allowed[0]
}
