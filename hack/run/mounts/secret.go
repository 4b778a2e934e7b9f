package mounts

import (
	"bytes"
	"context"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// SecretVolume has items of a Secret, in files of the same names.
type SecretVolume struct {
	Items []string
	// Dir is the volume.
	Dir string
}

// Mirror updates volumes of a Secret when the Secret changes, until ctx is done. The channel that it returns is closed once
// all items exist: until then the kubelet would not start the Pods that need them.
func Mirror(ctx context.Context, client kubernetes.Interface, namespace, name string, volumes []SecretVolume,
	failed func(error)) <-chan struct{} {
	complete := make(chan struct{})
	m := &mirror{volumes: volumes, written: make([]map[string][]byte, len(volumes)), complete: sync.OnceFunc(func() { close(complete) })}
	update := func(object any) {
		if secret, ok := object.(*corev1.Secret); ok && ctx.Err() == nil {
			if err := m.update(secret); err != nil {
				failed(err)
			}
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "secrets", namespace,
			fields.OneTermEqualSelector("metadata.name", name)),
		ObjectType: &corev1.Secret{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    update,
			UpdateFunc: func(_, object any) { update(object) },
		},
	})
	go informer.RunWithContext(ctx)
	return complete
}

type mirror struct {
	volumes  []SecretVolume
	written  []map[string][]byte
	complete func()
}

func (m *mirror) update(secret *corev1.Secret) error {
	complete := true
	for i, volume := range m.volumes {
		files := make(map[string][]byte, len(volume.Items))
		for _, item := range volume.Items {
			if data, ok := secret.Data[item]; ok && len(data) > 0 {
				files[item] = data
			}
		}
		complete = complete && len(files) == len(volume.Items)
		if m.written[i] != nil && maps.EqualFunc(m.written[i], files, bytes.Equal) {
			continue
		}
		if err := writeVolume(volume.Dir, files); err != nil {
			return err
		}
		m.written[i] = files
	}
	if complete {
		m.complete()
	}
	return nil
}
