package leaks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// record looks for the ApiKey that has the text, and records the leak in its status. It reports whether there is one. Any replica
// may do that, from its cache; the leader then acts on the status.
func (s *Server) record(ctx context.Context, report *found, source string) (known bool, err error) {
	keys, err := s.Seals.Keys(ctx)
	if err != nil {
		return false, err
	}
	for _, digest := range keys.Identities(report.digest) {
		holders, err := cache.CachedKeysWithDigest(ctx, s.Client, digest)
		if err != nil {
			return false, fmt.Errorf("looking for the ApiKey of a leaked text: %w", err)
		}
		for i := range holders {
			known = true
			if err := s.recordFor(ctx, &holders[i], digest, report, source); err != nil {
				return true, err
			}
		}
	}
	return known, nil
}

func (s *Server) recordFor(ctx context.Context, key *v1alpha1.ApiKey, digest keyformat.Digest, report *found, source string) error {
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		read, err := keyformat.ReadDigest(v.Digest)
		if err != nil || read.Digest != digest {
			continue
		}
		if !lifecycle.Live(v.State) || key.Status.Leak != nil && key.Status.Leak.Version >= v.ID {
			return nil // it is of no use to anybody, or it was reported before
		}
		leak := v1alpha1.KeyLeak{
			Version: v.ID, ReportedAt: metav1.Time{Time: s.Clock.Now().Truncate(time.Second)}, Source: cmp.Or(source, report.source), URL: report.url,
		}
		patch, err := patchFor(key, &leak)
		if err != nil {
			return err
		}
		// Without a lock: it sets what nothing else sets, and must not lose against the reconciler.
		of := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		if err := s.Client.Status().Patch(ctx, of, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("recording a leak in ApiKey %s/%s: %w", key.Namespace, key.Name, err)
		}
		return nil
	}
	return nil
}

// patchFor returns the merge patch that records a leak. A merge keeps what it does not name, so what an earlier leak of another
// version has set, and this one has not, is null: above all the response, because nothing was done about this version yet.
func patchFor(key *v1alpha1.ApiKey, leak *v1alpha1.KeyLeak) ([]byte, error) {
	members := map[string]any{"version": leak.Version, "reportedAt": leak.ReportedAt}
	for name, value := range map[string]string{"source": leak.Source, "url": leak.URL, "response": string(leak.Response)} {
		switch {
		case value != "":
			members[name] = value
		case key.Status.Leak != nil:
			members[name] = nil
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": key.UID}, "status": map[string]any{"leak": members}})
	if err != nil {
		return nil, fmt.Errorf("writing the patch: %w", err)
	}
	return patch, nil
}
