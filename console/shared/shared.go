// Package shared keeps which sessions of the console were ended in a ConfigMap, for all its replicas. Each watches it, and writes it by compare-and-set.
// What cannot be read, or was not for a minute, refuses every request: nobody whose session was ended gets in by an outage.
package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/keyward-dev/keyward/console/revocation"
	"github.com/keyward-dev/keyward/console/session"
)

const (
	// MostStale is how long ago the list was last read from the API server at most.
	MostStale = time.Minute
	// Key is that of the text in the ConfigMap, which has no other.
	Key = "revocations"

	// A watch that says nothing may have broken without a word. So each is short, and the object is read again after it: three times in MostStale.
	watchFor     = 20 * time.Second
	watchTimeout = watchFor + 5*time.Second
	getTimeout   = 10 * time.Second

	// writeTimeout and mostAttempts bound what one sign-out costs while others write, too.
	writeTimeout = 10 * time.Second
	mostAttempts = 20
	conflictWait = 20 * time.Millisecond

	howToFix = "to begin a new list, which signs everybody out, remove its data"
)

// Config is what New needs. All fields are required.
type Config struct {
	// ConfigMaps are those of the namespace. Of the one named Name they need get, watch and update.
	ConfigMaps corev1client.ConfigMapInterface
	Name       string
	Now        func() time.Time
	Log        *slog.Logger
}

// Revocations is a session.Revocations, and safe for concurrent use. Until Run has read the ConfigMap, it refuses.
type Revocations struct {
	config  Config
	own     *session.Memory // what was ended here: it holds before the watch has seen it, and also if it could not be written
	writing chan struct{}   // who writes: those of one process wait for each other, and conflict only with other replicas

	mu      sync.Mutex
	list    *revocation.List
	problem error     // why list does not count; nil: it does
	read    time.Time // when the API server was last asked for the list, and answered
}

var _ session.Revocations = (*Revocations)(nil)

// New returns an error if something required is missing.
func New(config Config) (*Revocations, error) {
	if config.ConfigMaps == nil || config.Name == "" || config.Now == nil || config.Log == nil {
		return nil, errors.New("shared: ConfigMaps, Name, Now and Log are required")
	}
	return &Revocations{
		config: config, own: session.NewMemory(config.Now, time.Time{}), writing: make(chan struct{}, 1),
		problem: errors.New("it was not read yet"),
	}, nil
}

// Revoked reports whether a session of a person, who signed in at that time, was ended. It returns an error if the list is not known.
func (r *Revocations) Revoked(ctx context.Context, name, id string, since time.Time) (bool, error) {
	if ended, err := r.own.Revoked(ctx, name, id, since); ended || err != nil {
		return ended, err
	}
	list, err := r.current()
	if err != nil {
		return false, err
	}
	return list.Ended(name, id, since), nil
}

// Check returns an error if the list is not known. Its text has nothing of a person.
func (r *Revocations) Check() error {
	_, err := r.current()
	return err
}

func (r *Revocations) current() (*revocation.List, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.problem != nil {
		return nil, r.wrap(r.problem)
	}
	if age := r.config.Now().Sub(r.read); age >= MostStale {
		return nil, r.wrap(fmt.Errorf("it was last read %s ago", age.Round(time.Second)))
	}
	return r.list, nil
}

// wrap hides what kind of error it is: that the API server does not know the console is nothing that concerns the credential of a person.
func (r *Revocations) wrap(err error) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("which sessions were ended: the ConfigMap %s: %v", r.config.Name, err))
}

// EndSession ends a session that would end at until at the latest. After an error, it is ended on this replica alone.
func (r *Revocations) EndSession(ctx context.Context, id string, until time.Time) error {
	if err := r.own.EndSession(ctx, id, until); err != nil {
		return err
	}
	return r.write(ctx, func(list *revocation.List, now time.Time) *revocation.List { return list.WithSession(id, until, now) })
}

// EndPerson ends every session of a person who signed in at that time or before. After an error, they are ended on this replica alone.
func (r *Revocations) EndPerson(ctx context.Context, name string, before time.Time) error {
	if err := r.own.EndPerson(ctx, name, before); err != nil {
		return err
	}
	return r.write(ctx, func(list *revocation.List, now time.Time) *revocation.List { return list.WithPerson(name, before, now) })
}

// write replaces the list by what change makes of it, unless another has replaced it meanwhile: then it is read again.
func (r *Revocations) write(ctx context.Context, change func(*revocation.List, time.Time) *revocation.List) error {
	ctx, stop := context.WithTimeout(ctx, writeTimeout)
	defer stop()
	select {
	case r.writing <- struct{}{}:
		defer func() { <-r.writing }()
	case <-ctx.Done():
		return r.wrap(fmt.Errorf("writing it: %w", ctx.Err()))
	}
	for attempt := 1; ; attempt++ {
		err := r.try(ctx, change)
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) || attempt == mostAttempts {
			return r.wrap(fmt.Errorf("writing it: %w", err))
		}
		if !pause(ctx, rand.N(time.Duration(attempt)*conflictWait)) { //nolint:gosec // it spreads writers, and protects nothing
			return r.wrap(fmt.Errorf("writing it: %w", ctx.Err()))
		}
	}
}

func (r *Revocations) try(ctx context.Context, change func(*revocation.List, time.Time) *revocation.List) error {
	object, err := r.config.ConfigMaps.Get(ctx, r.config.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now := r.config.Now()
	list, err := parse(object, now)
	switch {
	case errors.Is(err, errEmpty):
		list = revocation.Begin(now)
	case err != nil:
		return err
	}
	_, err = r.replace(ctx, object, change(list, now))
	return err
}

// replace is refused with a conflict if the object has changed since it was read.
func (r *Revocations) replace(ctx context.Context, object *corev1.ConfigMap, list *revocation.List) (*corev1.ConfigMap, error) {
	text, err := list.Text()
	if err != nil {
		return nil, err
	}
	next := object.DeepCopy()
	next.Data = map[string]string{Key: text}
	return r.config.ConfigMaps.Update(ctx, next, metav1.UpdateOptions{FieldManager: "keyward-console"})
}

var errEmpty = errors.New("it is empty")

// parse reads the list of a ConfigMap. It returns errEmpty for one of which nobody has written anything, or whose data was removed.
func parse(object *corev1.ConfigMap, now time.Time) (*revocation.List, error) {
	if object.DeletionTimestamp != nil {
		return nil, errors.New("it is being deleted")
	}
	if len(object.Data) == 0 && len(object.BinaryData) == 0 {
		return nil, errEmpty
	}
	text, ok := object.Data[Key]
	if !ok || len(object.Data) != 1 || len(object.BinaryData) != 0 {
		return nil, fmt.Errorf("it has other keys than %s; %s", Key, howToFix)
	}
	list, err := revocation.Parse(text, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", Key, err, howToFix)
	}
	return list, nil
}

// Run follows the ConfigMap until ctx ends.
func (r *Revocations) Run(ctx context.Context) {
	first := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 7, Cap: 5 * time.Second}
	backoff := first
	for ctx.Err() == nil {
		err := r.follow(ctx)
		long := first.Duration // also after a watch that ended as it should: a server that ends each at once is not asked without pause
		if err != nil && ctx.Err() == nil {
			r.config.Log.Warn("which sessions were ended cannot be followed; trying again", slog.Any("error", r.wrap(err)))
			long = backoff.Step()
		} else {
			backoff = first
		}
		pause(ctx, long)
	}
}

// pause reports whether the time is over, and ctx is not.
func pause(ctx context.Context, long time.Duration) bool {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// follow reads the object, and watches it for a while.
func (r *Revocations) follow(ctx context.Context) error {
	object, err := r.get(ctx)
	if err != nil {
		return err
	}
	watching, stop := context.WithTimeout(ctx, watchTimeout)
	defer stop()
	seconds := int64(watchFor / time.Second)
	events, err := r.config.ConfigMaps.Watch(watching, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, r.config.Name).String(),
		ResourceVersion: object.ResourceVersion, TimeoutSeconds: &seconds,
	})
	if err != nil {
		return fmt.Errorf("watching it: %w", err)
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		if err := r.see(event); err != nil {
			return err
		}
	}
	return nil
}

// get reads the object from the API server, not from a cache of that, and begins a list where there is none.
func (r *Revocations) get(ctx context.Context) (*corev1.ConfigMap, error) {
	ctx, stop := context.WithTimeout(ctx, getTimeout)
	defer stop()
	asked := r.config.Now()
	object, err := r.config.ConfigMaps.Get(ctx, r.config.Name, metav1.GetOptions{})
	if err != nil {
		r.failed(err)
		return nil, fmt.Errorf("reading it: %w", err)
	}
	r.mu.Lock()
	r.read = asked
	r.mu.Unlock()
	if err := r.take(object); !errors.Is(err, errEmpty) {
		return object, nil // take has kept and logged it; the watch shows when it is fixed
	}
	if object, err = r.replace(ctx, object, revocation.Begin(asked)); err != nil {
		return nil, fmt.Errorf("beginning a list: %w", err)
	}
	r.config.Log.Info("a list of sessions that were ended was begun: everybody who had signed in before is signed out")
	_ = r.take(object) // as it was written
	return object, nil
}

// failed keeps why the list could not be read. What was read before holds for a while, unless the object is gone.
func (r *Revocations) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if apierrors.IsNotFound(err) || r.list == nil {
		r.list, r.problem = nil, err
	}
}

func (r *Revocations) see(event watch.Event) error {
	switch event.Type {
	case watch.Added, watch.Modified:
		object, ok := event.Object.(*corev1.ConfigMap)
		if !ok {
			return fmt.Errorf("watching it: got a %T", event.Object)
		}
		if err := r.take(object); errors.Is(err, errEmpty) {
			return err // it is read again, and begun
		}
	case watch.Deleted:
		r.mu.Lock()
		r.list, r.problem = nil, errors.New("it was deleted")
		r.mu.Unlock()
		return errors.New("it was deleted")
	case watch.Error:
		return fmt.Errorf("watching it: %w", apierrors.FromObject(event.Object))
	case watch.Bookmark:
	}
	return nil
}

// take makes what the object has what counts.
func (r *Revocations) take(object *corev1.ConfigMap) error {
	list, err := parse(object, r.config.Now())
	r.mu.Lock()
	before := r.problem
	r.list, r.problem = list, err
	r.mu.Unlock()
	if err != nil && !errors.Is(err, errEmpty) && (before == nil || before.Error() != err.Error()) {
		r.config.Log.Error("every request is refused", slog.Any("error", r.wrap(err)))
	}
	return err
}
