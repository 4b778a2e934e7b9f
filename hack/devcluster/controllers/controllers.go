// Package controllers runs the controllers that a cluster without nodes needs: identities, clean-up, roles and quotas. They
// are those of kube-controller-manager, set up as it does by default, each with an identity and Roles of its own. The other
// thirty are not linked: with them, the first build would compile 290 packages more.
package controllers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/controller-manager/pkg/clientbuilder"
	"k8s.io/controller-manager/pkg/informerfactory"
)

// discoveryPeriod is how soon a new kind of object is noticed.
const discoveryPeriod = 30 * time.Second

// Options are what the controllers need.
type Options struct {
	// Kubeconfig is that of the user system:kube-controller-manager.
	Kubeconfig string
	// TokenKey is the file of the private key that signs the tokens in Secrets.
	TokenKey string
	// RootCA is the file with the certificates that verify the API server. It is published in every namespace.
	RootCA string
}

// Run runs all controllers until ctx is done, and returns when they have ended.
func Run(ctx context.Context, opts Options) error {
	s, err := newShared(ctx, opts)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	var loops []func(context.Context)
	for _, controller := range []struct {
		name string
		set  func(context.Context) (func(context.Context), error)
	}{
		{"ServiceAccounts", s.serviceAccounts},
		{"tokens", s.tokens},
		{"root certificates", s.rootCertificates},
		{"namespaces", s.namespaces},
		{"garbage collection", s.garbageCollection},
		{"aggregated ClusterRoles", s.aggregatedRoles},
		{"ResourceQuotas", s.resourceQuotas},
	} {
		loop, err := controller.set(ctx)
		if err != nil {
			return fmt.Errorf("set up the controller of %s: %w", controller.name, err)
		}
		loops = append(loops, loop)
	}
	// The informers that the controllers have asked for.
	s.all.Start(ctx.Done())
	close(s.started)
	for _, loop := range loops {
		running.Go(func() { loop(ctx) })
	}
	running.Wait()
	s.typed.Shutdown()
	return nil
}

// shared is what the controllers have in common.
type shared struct {
	opts Options
	// root makes clients with the rights of the kubeconfig, own makes clients of ServiceAccounts in kube-system.
	root, own clientbuilder.ControllerClientBuilder
	typed     informers.SharedInformerFactory
	// all has informers of every kind, of metadata only for kinds that are not built in.
	all      informerfactory.InformerFactory
	metadata metadata.Interface
	mapper   meta.ResettableRESTMapper
	// started is closed when the informers run.
	started chan struct{}
}

func newShared(ctx context.Context, opts Options) (*shared, error) {
	config, err := clientcmd.BuildConfigFromFlags("", opts.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	// As kube-controller-manager does by default.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.DisableCompression = true
	config.QPS, config.Burst = 20, 30

	core, err := kubernetes.NewForConfig(rest.AddUserAgent(config, component))
	if err != nil {
		return nil, err
	}
	s := &shared{
		opts:    opts,
		root:    clientbuilder.SimpleControllerClientBuilder{ClientConfig: config},
		own:     clientbuilder.NewDynamicClientBuilder(rest.AnonymousClientConfig(config), core.CoreV1(), metav1.NamespaceSystem),
		started: make(chan struct{}),
	}
	typed, err := s.root.Client("shared-informers")
	if err != nil {
		return nil, err
	}
	metadataConfig, err := s.root.Config("metadata-informers")
	if err != nil {
		return nil, err
	}
	if s.metadata, err = metadata.NewForConfig(metadataConfig); err != nil {
		return nil, err
	}
	resync := time.Duration(float64(12*time.Hour) * (1 + rand.Float64())) //nolint:gosec // not all clusters at once; no secret
	s.typed = informers.NewSharedInformerFactoryWithOptions(typed, resync, informers.WithTransform(withoutManagedFields))
	s.all = informerfactory.NewInformerFactory(s.typed,
		metadatainformer.NewSharedInformerFactoryWithOptions(s.metadata, resync, metadatainformer.WithTransform(withoutManagedFields)))

	discovery, err := s.root.DiscoveryClient("controller-discovery")
	if err != nil {
		return nil, err
	}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discovery))
	go wait.Until(s.mapper.Reset, discoveryPeriod, ctx.Done())
	return s, nil
}

// withoutManagedFields drops what no controller reads, and what is half of an object.
func withoutManagedFields(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}
