package controllers

import (
	corev1 "k8s.io/api/core/v1"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
)

// cacheOptions are CacheOptions with only the watched namespaces, and in its own namespace the manager's ConfigMap.
func cacheOptions(options Options) ctrlcache.Options {
	all := CacheOptions()
	if len(options.WatchNamespaces) == 0 {
		return all
	}
	all.DefaultNamespaces = map[string]ctrlcache.Config{}
	own := map[string]ctrlcache.Config{options.Namespace: {}}
	for _, name := range options.WatchNamespaces {
		all.DefaultNamespaces[name], own[name] = ctrlcache.Config{}, ctrlcache.Config{}
	}
	for object, config := range all.ByObject {
		if _, ok := object.(*corev1.ConfigMap); ok {
			config.Namespaces = own
			all.ByObject[object] = config
		}
	}
	return all
}
