package store

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// RecordLog records how far the log of the Group with this UID has come. Errors: ErrNoGroup.
func (s *Objects) RecordLog(ctx context.Context, group string, uid types.UID, head v1alpha1.LogHead) error {
	_, err := s.update(ctx, group, func(o *object) error {
		if o.group.UID != uid {
			return ErrNoGroup // another has its name
		}
		o.usage.Status.Log = head.DeepCopy()
		return nil
	}, nil, Totals{})
	return err
}
