package store

import (
	"context"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// RecordLog records how far the log of a Group has come. Errors: ErrNoGroup.
func (s *Objects) RecordLog(ctx context.Context, group string, head v1alpha1.LogHead) error {
	_, err := s.update(ctx, group, func(o *object) error {
		o.usage.Status.Log = head.DeepCopy()
		return nil
	}, nil, Totals{})
	return err
}
