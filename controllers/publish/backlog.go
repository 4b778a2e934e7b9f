package publish

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
)

// What concerns many keys is published in the background, a few keys of each Group and namespace in turn, so that neither a change of
// another key nor one of another Group waits for it.

const (
	// retryAfter is how long to wait after something could not be published.
	retryAfter = time.Second
	// keysInTurn is how many keys of one Group or namespace are published before those of another.
	keysInTurn = 64
)

// backlog has what is to be published in the background. The Projector's lock guards it.
type backlog struct {
	keysOf map[keyScope]struct{} // whose keys are to be published again
	failed map[string]func(context.Context) error
	wake   chan struct{} // one slot: there may be something
}

// keyScope is whose keys: those of a Group, or, without a name, those in a namespace.
type keyScope struct{ types.NamespacedName }

func newBacklog() backlog {
	return backlog{keysOf: map[keyScope]struct{}{}, failed: map[string]func(context.Context) error{}, wake: make(chan struct{}, 1)}
}

func (b *backlog) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// publishLater has keys published in the background. The caller holds the lock.
func (p *Projector) publishLater(of keyScope) {
	p.backlog.keysOf[of] = struct{}{}
	p.backlog.signal()
}

// retry has something that failed tried again, until it succeeds, or something else fails under the same name.
func (p *Projector) retry(what string, project func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backlog.failed[what] = project
	p.backlog.signal()
}

// takeScopes takes the Groups and namespaces whose keys are to be published.
func (p *Projector) takeScopes() []keyScope {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := slices.Collect(maps.Keys(p.backlog.keysOf))
	clear(p.backlog.keysOf)
	return taken
}

func (p *Projector) takeFailed() map[string]func(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.backlog.failed
	p.backlog.failed = map[string]func(context.Context) error{}
	return taken
}

// publishBacklog publishes in the background until the context ends.
func (p *Projector) publishBacklog(ctx context.Context) {
	rounds := map[keyScope][]types.NamespacedName{} // keys that are not published yet
	retries := p.Hub.clock.After(0)
	for ctx.Err() == nil {
		due := false
		if len(rounds) == 0 {
			select {
			case <-p.backlog.wake:
			case <-retries:
				due = true
			case <-ctx.Done():
				return
			}
		}
		for _, of := range p.takeScopes() {
			names, err := p.keyNames(ctx, of)
			if err != nil {
				p.failedToPublish(ctx, of.String(), err, func(context.Context) error { p.again(of); return nil })
				continue
			}
			rounds[of] = names // from the beginning, if they were being published already
		}
		for of, names := range rounds {
			turn := names[:min(keysInTurn, len(names))]
			if rounds[of] = names[len(turn):]; len(names) == len(turn) {
				delete(rounds, of)
			}
			p.publishKeys(ctx, turn)
		}
		select {
		case <-retries:
			due = true
		default:
		}
		if due {
			p.tryAgain(ctx)
			retries = p.Hub.clock.After(retryAfter)
		}
	}
}

// tryAgain tries again what has failed.
func (p *Projector) tryAgain(ctx context.Context) {
	for what, project := range p.takeFailed() {
		if err := project(ctx); err != nil {
			p.failedToPublish(ctx, what, err, project)
		}
	}
}

func (p *Projector) failedToPublish(ctx context.Context, what string, err error, project func(context.Context) error) {
	if ctx.Err() != nil {
		return
	}
	publishFailures.Inc()
	logf.FromContext(ctx).Error(err, "Publishing failed; it is tried again", "object", what)
	p.retry(what, project)
}

func (p *Projector) again(of keyScope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publishLater(of)
}

// keyNames returns the names of the keys of a Group, or in a namespace.
func (p *Projector) keyNames(ctx context.Context, of keyScope) ([]types.NamespacedName, error) {
	list := func() ([]v1alpha1.ApiKey, error) { return cache.CachedKeys(ctx, p.Cache, of.NamespacedName) }
	if of.Name == "" {
		list = func() ([]v1alpha1.ApiKey, error) { return cache.CachedKeysInNamespace(ctx, p.Cache, of.Namespace) }
	}
	keys, err := list()
	if err != nil {
		return nil, err
	}
	names := make([]types.NamespacedName, 0, len(keys))
	for i := range keys {
		names = append(names, client.ObjectKeyFromObject(&keys[i]))
	}
	return names, nil
}

// publishKeys publishes keys as they are now.
func (p *Projector) publishKeys(ctx context.Context, names []types.NamespacedName) {
	for _, name := range names {
		project := func(ctx context.Context) error { return p.publishNamed(ctx, name) }
		if err := project(ctx); err != nil {
			p.failedToPublish(ctx, "ApiKey "+name.String(), err, project)
		}
	}
	runtime.Gosched()
}

func (p *Projector) publishNamed(ctx context.Context, name types.NamespacedName) error {
	if p.Seals != nil && p.Seals.Known() == nil {
		key, _ := cache.CachedKey(ctx, p.Cache, name) // it is read again below
		p.wantSeals(ctx, key)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key, err := cache.CachedKey(ctx, p.Cache, name)
	if apierrors.IsNotFound(err) {
		return nil // that is an event of its own
	}
	if err != nil {
		return err
	}
	return p.publishKey(ctx, key)
}
