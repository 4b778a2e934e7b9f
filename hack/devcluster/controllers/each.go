package controllers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	quota "k8s.io/kubernetes/pkg/quota/v1/install"
	token "k8s.io/kubernetes/pkg/serviceaccount"
)

// serviceAccounts creates the ServiceAccount "default" of each namespace.
func (s *shared) serviceAccounts(ctx context.Context) (func(context.Context), error) {
	client, err := s.own.Client("service-account-controller")
	if err != nil {
		return nil, err
	}
	c, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), s.typed.Core().V1().ServiceAccounts(),
		s.typed.Core().V1().Namespaces(), client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { c.Run(ctx, 1) }, nil
}

// tokens fills in the tokens of Secrets of the type kubernetes.io/service-account-token.
func (s *shared) tokens(ctx context.Context) (func(context.Context), error) {
	key, err := keyutil.PrivateKeyFromFile(s.opts.TokenKey)
	if err != nil {
		return nil, fmt.Errorf("read the key of tokens: %w", err)
	}
	root, err := s.rootCA()
	if err != nil {
		return nil, err
	}
	client, err := s.root.Client("tokens-controller")
	if err != nil {
		return nil, err
	}
	generator, err := token.JWTTokenGenerator(token.LegacyIssuer, key)
	if err != nil {
		return nil, err
	}
	c, err := serviceaccount.NewTokensController(klog.FromContext(ctx), s.typed.Core().V1().ServiceAccounts(),
		s.typed.Core().V1().Secrets(), client, serviceaccount.TokensControllerOptions{TokenGenerator: generator, RootCA: root})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { c.Run(ctx, 5) }, nil
}

// rootCertificates creates the ConfigMap kube-root-ca.crt of each namespace.
func (s *shared) rootCertificates(_ context.Context) (func(context.Context), error) {
	root, err := s.rootCA()
	if err != nil {
		return nil, err
	}
	client, err := s.own.Client("root-ca-cert-publisher")
	if err != nil {
		return nil, err
	}
	c, err := rootcacertpublisher.NewPublisher(s.typed.Core().V1().ConfigMaps(), s.typed.Core().V1().Namespaces(), client, root)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { c.Run(ctx, 1) }, nil
}

func (s *shared) rootCA() ([]byte, error) {
	pem, err := os.ReadFile(s.opts.RootCA)
	if err != nil {
		return nil, fmt.Errorf("read the root certificates: %w", err)
	}
	if _, err := cert.ParseCertsPEM(pem); err != nil {
		return nil, fmt.Errorf("read the root certificates: %w", err)
	}
	return pem, nil
}

// namespaces deletes what is in a namespace that is deleted.
func (s *shared) namespaces(ctx context.Context) (func(context.Context), error) {
	config, err := s.own.Config("namespace-controller")
	if err != nil {
		return nil, err
	}
	// It asks for each kind of object, of which there are many.
	config.QPS *= 20
	config.Burst *= 100
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c := namespace.NewNamespaceController(ctx, client, objects, client.Discovery().ServerPreferredNamespacedResources,
		s.typed.Core().V1().Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)
	return func(ctx context.Context) { c.Run(ctx, 10) }, nil
}

// garbageCollection deletes objects whose owners are gone.
func (s *shared) garbageCollection(ctx context.Context) (func(context.Context), error) {
	const identity = "generic-garbage-collector"
	client, err := s.own.Client(identity)
	if err != nil {
		return nil, err
	}
	discovery, err := s.own.DiscoveryClient(identity)
	if err != nil {
		return nil, err
	}
	config, err := s.own.Config(identity)
	if err != nil {
		return nil, err
	}
	config.QPS *= 2 // each deletion takes two requests
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, s.metadata, s.mapper, garbagecollector.DefaultIgnoredResources(),
		s.all, s.started)
	c, err := garbagecollector.NewComposedGarbageCollector(ctx, client, objects, s.mapper, graph)
	if err != nil {
		return nil, err
	}
	return together(
		func(ctx context.Context) { c.Run(ctx, 20, discoveryPeriod) },
		func(ctx context.Context) { c.Sync(ctx, discovery, discoveryPeriod) },
	), nil
}

// aggregatedRoles collects the rules of ClusterRoles such as view and edit.
func (s *shared) aggregatedRoles(_ context.Context) (func(context.Context), error) {
	client, err := s.own.Client("clusterrole-aggregation-controller")
	if err != nil {
		return nil, err
	}
	c := clusterroleaggregation.NewClusterRoleAggregation(s.typed.Rbac().V1().ClusterRoles(), client.RbacV1())
	return func(ctx context.Context) { c.Run(ctx, 5) }, nil
}

// resourceQuotas counts what ResourceQuotas limit; without it, a quota never gets smaller, and a new one refuses everything.
func (s *shared) resourceQuotas(ctx context.Context) (func(context.Context), error) {
	const identity = "resourcequota-controller"
	client, err := s.own.Client(identity)
	if err != nil {
		return nil, err
	}
	discovery, err := s.own.DiscoveryClient(identity)
	if err != nil {
		return nil, err
	}
	kinds := discovery.ServerPreferredNamespacedResources
	configuration, err := quota.NewQuotaConfigurationForControllers(generic.ListerFuncForResourceFunc(s.typed.ForResource), s.typed)
	if err != nil {
		return nil, err
	}
	const period = 5 * time.Minute
	c, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               client.CoreV1(),
		ResourceQuotaInformer:     s.typed.Core().V1().ResourceQuotas(),
		ResyncPeriod:              controller.StaticResyncPeriodFunc(period),
		InformerFactory:           s.all,
		ReplenishmentResyncPeriod: controller.StaticResyncPeriodFunc(12 * time.Hour),
		DiscoveryFunc:             kinds,
		IgnoredResourcesFunc:      configuration.IgnoredResources,
		InformersStarted:          s.started,
		Registry:                  generic.NewRegistry(configuration.Evaluators()),
		UpdateFilter:              quota.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return together(
		func(ctx context.Context) { c.Run(ctx, 5) },
		func(ctx context.Context) { c.Sync(ctx, kinds, discoveryPeriod) },
	), nil
}

// together returns a loop that runs others, and ends when all have ended.
func together(loops ...func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		var running sync.WaitGroup
		for _, loop := range loops {
			running.Go(func() { loop(ctx) })
		}
		running.Wait()
	}
}
