package syncserver

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// secrecy sends the secret of digests on a stream: once, no later than with the first key that needs it, and never if no key
// does. Only await uses it.
type secrecy struct {
	service      *service
	subscription *publish.Subscription
	sent         bool
}

// add adds the secret to the update if that is the first that needs it.
func (s *secrecy) add(ctx context.Context, update *syncv1.Update) error {
	serves := func(group string) bool { is, _ := s.subscription.Serves(group); return is }
	if s.sent || !s.service.imported.In(update, serves) {
		return nil
	}
	keys, err := s.service.seals.Keys(ctx)
	if err != nil {
		s.service.log.Error(err, "The secret of digests cannot be sent")
		return status.Error(codes.Unavailable, "the manager's secret cannot be read; connect again")
	}
	update.DigestSecret, s.sent = keys.Digests.Bytes(), true
	return nil
}
