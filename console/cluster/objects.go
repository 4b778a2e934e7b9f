package cluster

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/console/web"
)

func objectKey(namespace, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: namespace, Name: name}
}

// unlessMissing returns an error of reading what does not have to exist.
func unlessMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return reading(err)
}

// isMissing reports whether the person may not see something, or it does not exist.
func isMissing(err error) bool { return errors.Is(err, web.ErrNotFound) }
