package plugin

import (
	"context"
	"errors"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// declaration is a verb that edits the spec of keys, and waits until that is in force.
type declaration struct {
	action  string
	waiting *patience
	change  func(*v1alpha1.ApiKeySpec)
	// reached reports whether the key is in the state that is declared.
	reached func(*v1alpha1.ApiKey) bool
	// after returns what is wrong though it is reached, or nil.
	after func(*v1alpha1.ApiKey) error
}

// one edits a key, waits until the change is in force, and prints the result.
func (a *app) one(ctx context.Context, s *session, key *v1alpha1.ApiKey, d declaration) error {
	if err := s.patch(ctx, key, d.change); err != nil {
		return err
	}
	if d.waiting.wait {
		if err := a.awaitDeclared(ctx, s, key, d, d.waiting.timeout, a.enforced); err != nil {
			return err
		}
	}
	view := viewOf(key, a.now())
	err := a.print(outcome{d.action, d.waiting.wait, view}, func(p *page) { d.describe(p, &view) })
	if err != nil || !d.waiting.wait {
		return err
	}
	return d.result(key)
}

// several is one for many keys: all are edited before any is waited for, and an error ends none of the others.
func (a *app) several(ctx context.Context, s *session, keys []*v1alpha1.ApiKey, d declaration) error {
	done := &outcomes{Action: d.action, Waited: d.waiting.wait}
	var declared []*v1alpha1.ApiKey
	for _, key := range keys {
		if err := s.patch(ctx, key, d.change); err != nil {
			done.fail(key, err)
			continue
		}
		declared = append(declared, key)
	}
	deadline := time.Now().Add(d.waiting.timeout)
	for _, key := range declared {
		if d.waiting.wait {
			if err := a.waitAmongOthers(ctx, s, key, d, deadline); err != nil {
				done.fail(key, err)
			}
		}
		done.Keys = append(done.Keys, viewOf(key, a.now()))
	}
	return a.conclude(done, d.describe)
}

func (a *app) waitAmongOthers(ctx context.Context, s *session, key *v1alpha1.ApiKey, d declaration, deadline time.Time) error {
	left := time.Until(deadline)
	if left <= 0 {
		return coded{ExitTimeout, errors.New("it is declared, and was not waited for any longer")}
	}
	progress := func(key *v1alpha1.ApiKey) string {
		if text := a.enforced(key); text != "" {
			return key.Name + ": " + text
		}
		return ""
	}
	if err := a.awaitDeclared(ctx, s, key, d, left, progress); err != nil {
		return err
	}
	return d.result(key)
}

func (a *app) awaitDeclared(ctx context.Context, s *session, key *v1alpha1.ApiKey, d declaration, limit time.Duration,
	progress func(*v1alpha1.ApiKey) string) error {
	return a.follow(ctx, s, key, limit, progress, func(key *v1alpha1.ApiKey) (bool, error) {
		return acknowledged(key) && d.reached(key), nil
	})
}

// result returns what is wrong with a key whose declared state is reached, or nil.
func (d *declaration) result(key *v1alpha1.ApiKey) error {
	if err := incomplete(key); err != nil || d.after == nil {
		return err
	}
	return d.after(key)
}

func (d *declaration) describe(p *page, view *keyView) {
	name := p.paint(bold, view.Namespace+"/"+view.Name)
	if !d.waiting.wait {
		p.line("%s: declared; its state was %s", name, view.State)
		return
	}
	p.line("%s is %s: %s", name, p.paint(stateStyle(view.State), string(view.State)), describeEnforcement(view.Enforcement))
}
