package trust

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// +kubebuilder:rbac:groups=certificates.k8s.io,resources=clustertrustbundles,verbs=create
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=clustertrustbundles,verbs=get;update,resourceNames=keyward.dev:sync:ca
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=signers,verbs=attest,resourceNames=keyward.dev/sync

const (
	// SignerName is what Pods name in a projected volume to get the bundle.
	SignerName = "keyward.dev/sync"
	// ClusterTrustBundleName has to begin with the name of the signer.
	ClusterTrustBundleName = "keyward.dev:sync:ca"

	// clusterInterval is how often the ClusterTrustBundle is checked: one object, which nobody else writes.
	clusterInterval = time.Minute
	// absentInterval is how often it is checked whether the API server has the kind now.
	absentInterval = 10 * time.Minute
)

var clusterTrustBundleKind = schema.GroupKind{Group: "certificates.k8s.io", Kind: "ClusterTrustBundle"}

// clusterTrustBundle keeps the bundle in a ClusterTrustBundle while the API server has that kind: since Kubernetes 1.37, before
// only if it was enabled.
type clusterTrustBundle struct {
	client client.Client
	reader client.Reader // past the cache
	bundle *bundle
	clock  clock.WithTicker

	mu sync.Mutex
	// attempted is the bundle that was last written, or could not be written.
	attempted []byte
}

// NeedLeaderElection is true: one publishes for all.
func (c *clusterTrustBundle) NeedLeaderElection() bool { return true }

// Start publishes until the context ends.
func (c *clusterTrustBundle) Start(ctx context.Context) error {
	log := logf.FromContext(ctx).WithName("trust")
	var last string // the last outcome, which is logged once
	for {
		outcome, interval := "Published the ClusterTrustBundle "+ClusterTrustBundleName, clusterInterval
		text := c.bundle.get()
		switch err := c.publish(ctx, text); {
		case text == nil:
			outcome = ""
		case meta.IsNoMatchError(err):
			outcome, interval = "The API server has no ClusterTrustBundles; ConfigMaps are published", absentInterval
		case err != nil:
			outcome = "Cannot publish the ClusterTrustBundle; trying again: " + err.Error()
		}
		if outcome != "" && outcome != last {
			log.Info(outcome)
			last = outcome
		}
		timer := c.clock.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-c.bundle.changes:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// publish creates or corrects the ClusterTrustBundle.
func (c *clusterTrustBundle) publish(ctx context.Context, text []byte) error {
	if text == nil {
		return nil
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.attempted = text
	}()
	mapping, err := c.client.RESTMapper().RESTMapping(clusterTrustBundleKind)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(mapping.GroupVersionKind)
	err = c.reader.Get(ctx, types.NamespacedName{Name: ClusterTrustBundleName}, object)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("reading it: %w", err)
	}
	if found, _, _ := unstructured.NestedString(object.Object, "spec", "trustBundle"); found == string(text) {
		return nil
	}
	if err := unstructured.SetNestedField(object.Object, string(text), "spec", "trustBundle"); err != nil {
		return err
	}
	if !missing {
		return c.client.Update(ctx, object)
	}
	object.SetName(ClusterTrustBundleName)
	object.SetLabels(map[string]string{"app.kubernetes.io/name": "keyward", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	if err := unstructured.SetNestedField(object.Object, SignerName, "spec", "signerName"); err != nil {
		return err
	}
	return c.client.Create(ctx, object)
}

// published reports whether the bundle was written, or could not be.
func (c *clusterTrustBundle) published(text []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Equal(c.attempted, text)
}
