package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// foreignKey is the text of a key as other platforms make them.
func foreignKey(i int) string {
	random := make([]byte, 24)
	_, _ = rand.Read(random) // it never fails
	switch i % 3 {
	case 0:
		return "sk_live_" + hex.EncodeToString(random)
	case 1:
		return "old-platform:" + base64.StdEncoding.EncodeToString(random) + "=="
	}
	return "t." + base64.StdEncoding.EncodeToString(random)
}

// holder is a client with an imported key, and the responses that it gets.
type holder struct {
	name, text string

	allowed, refused time.Time // of the last allowed request, of the first refusal
	code             string
}

// TestImportOfAThousand imports keys, rotates all of them, and verifies the old keys all the time.
func TestImportOfAThousand(t *testing.T) {
	const (
		keys    = 1000
		overlap = 10 * time.Second
	)
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidators("one")[0]
	w.createGroup()
	holders := make([]*holder, keys)
	w.each(keys, func(i int) error {
		h := &holder{name: fmt.Sprintf("key-%04d", i), text: foreignKey(i)}
		holders[i] = h
		legacy := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "legacy-" + h.name},
			Data:       map[string][]byte{"token": []byte(h.text)},
		}
		if err := w.tryCreate(legacy); err != nil {
			return err
		}
		key := w.newKey(h.name)
		key.Spec.ImportFrom = &v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: legacy.Name, Key: "token"}}
		key.Spec.Rotation.Overlap = v1alpha1.Duration(overlap.String())
		return w.tryCreate(key)
	})
	w.awaitAll("imported", isReady)
	w.each(keys, func(i int) error {
		if code, err := v.verify(w.ctx, holders[i].text); err != nil || code != "allowed" {
			return errors.Join(fmt.Errorf("%s is answered %q", holders[i].name, code), err)
		}
		return nil
	})

	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	var asking sync.WaitGroup
	const askers = 4
	for first := range askers {
		asking.Go(func() {
			for i := first; ctx.Err() == nil; i = (i + askers) % keys {
				holders[i].ask(w.ctx, v)
			}
		})
	}
	w.each(keys, func(i int) error { return w.tryTrigger(holders[i].name, "cut over") })
	retired := w.awaitAll("rotated, and its overlap over", func(key *v1alpha1.ApiKey) bool {
		return len(key.Status.Versions) == 2 && key.Status.Versions[0].State == v1alpha1.VersionRetired && isReady(key)
	})
	w.each(keys, func(i int) error {
		return poll(w.ctx, patience, func() error {
			if code, err := v.verify(w.ctx, holders[i].text); err != nil || code != "key_retired" {
				return errors.Join(fmt.Errorf("%s is answered %q", holders[i].name, code), err)
			}
			return nil
		})
	})
	cancel()
	asking.Wait()

	const tolerance = 2 * time.Second // an overlap ends on a full second
	for _, h := range holders {
		until := retired[h.name].Status.Versions[1].DeliveredAt.Add(overlap)
		if h.code != "key_retired" || h.refused.Before(until) || h.allowed.After(until.Add(tolerance)) {
			t.Errorf("%s was to be accepted until %s: it was last allowed at %s, and answered %s from %s on", h.name, until,
				h.allowed, h.code, h.refused)
		}
		v.requires(t, w.plaintext(h.name), "allowed")
	}
}

// ask verifies the key and notes the verdict. Only one loop calls it for a key.
func (h *holder) ask(ctx context.Context, v *validator) {
	begin := time.Now()
	switch code, err := v.verify(ctx, h.text); {
	case code == "allowed":
		h.allowed = begin
	case err != nil:
		h.code = err.Error()
	case h.refused.IsZero():
		h.refused, h.code = time.Now(), code
	}
}

// each calls do for all numbers below n, some at a time.
func (w *world) each(n int, do func(i int) error) {
	w.t.Helper()
	const workers = 8
	failed := make([]error, workers)
	var working sync.WaitGroup
	for first := range workers {
		working.Go(func() {
			for i := first; i < n && failed[first] == nil; i += workers {
				failed[first] = do(i)
			}
		})
	}
	working.Wait()
	if err := errors.Join(failed...); err != nil {
		w.t.Fatal(err)
	}
}

// awaitAll waits until all ApiKeys of the namespace are as the condition wants them, and returns them by name.
func (w *world) awaitAll(what string, condition func(*v1alpha1.ApiKey) bool) map[string]*v1alpha1.ApiKey {
	w.t.Helper()
	all := map[string]*v1alpha1.ApiKey{}
	eventually(w.t, "every ApiKey to be "+what, 3*patience, func() error {
		list := &v1alpha1.ApiKeyList{}
		if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		missing := 0
		for i := range list.Items {
			key := &list.Items[i]
			all[key.Name] = key
			if !condition(key) {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d are not", missing, len(list.Items))
		}
		return nil
	})
	return all
}
