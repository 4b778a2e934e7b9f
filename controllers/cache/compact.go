package cache

import (
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// maxTexts is how many texts are remembered, and maxTextSize is how many bytes each may have.
	maxTexts    = 4096
	maxTextSize = 256
)

// Compact makes objects of a cache smaller, without changing what they say: decoding leaves slices with more room than they need, and a
// text of its own for each word, although most keys have the same ones. It saves a seventh of an ApiKey with its Secret (BenchmarkHeld).
type Compact struct {
	fields SharedFields

	mu    sync.Mutex
	texts map[string]string
}

// Transform is a cache.TransformFunc of client-go for ApiKeys, of which it drops the managed fields, and for Secrets, which keep them.
func (c *Compact) Transform(object any) (any, error) {
	switch o := object.(type) {
	case *v1alpha1.ApiKey:
		return c.key(o), nil
	case *corev1.Secret:
		return c.secret(o)
	}
	return object, nil
}

func (c *Compact) key(decoded *v1alpha1.ApiKey) *v1alpha1.ApiKey {
	decoded.ManagedFields = nil
	key := decoded.DeepCopy() // its slices have the room that they need
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meta(&key.TypeMeta, &key.ObjectMeta)
	for name, text := range key.Annotations {
		key.Annotations[name] = c.shared(text)
	}
	spec, status := &key.Spec, &key.Status
	share(c, &spec.GroupRef.Namespace, &spec.GroupRef.Name, &spec.Description)
	share(c, &spec.ExpiresAfter)
	share(c, each(spec.Projects)...)
	share(c, each(spec.Permissions)...)
	share(c, &status.State)
	share(c, &status.CreatedBy, &status.LastHandledRotateRequest)
	for i := range status.Versions {
		version := &status.Versions[i]
		share(c, &version.State)
		share(c, &version.Cause)
		share(c, &version.DeclaredOverlap)
	}
	if e := status.Enforcement; e != nil {
		share(c, each(e.WaitingFor)...)
		share(c, each(e.Disconnected)...)
	}
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		share(c, &condition.Status)
		share(c, &condition.Type, &condition.Reason)
		if !strings.Contains(condition.Message, key.Name) { // no other key has one with its name
			share(c, &condition.Message)
		}
	}
	return key
}

func (c *Compact) secret(secret *corev1.Secret) (any, error) {
	c.mu.Lock()
	c.meta(&secret.TypeMeta, &secret.ObjectMeta)
	share(c, &secret.Type)
	secret.Data = rekeyed(c, secret.Data)
	for i := range secret.ManagedFields {
		entry := &secret.ManagedFields[i]
		share(c, &entry.Manager, &entry.APIVersion, &entry.FieldsType, &entry.Subresource)
		share(c, &entry.Operation)
	}
	c.mu.Unlock()
	return c.fields.Transform(secret)
}

// meta shares what many objects have of that which all objects have.
func (c *Compact) meta(kind *metav1.TypeMeta, meta *metav1.ObjectMeta) {
	share(c, &kind.Kind, &kind.APIVersion, &meta.Namespace, &meta.GenerateName)
	share(c, each(meta.Finalizers)...)
	meta.Labels, meta.Annotations = rekeyed(c, meta.Labels), rekeyed(c, meta.Annotations)
	for name, text := range meta.Labels {
		if name != v1alpha1.LabelAPIKey { // no other key has it
			meta.Labels[name] = c.shared(text)
		}
	}
	for i := range meta.OwnerReferences {
		share(c, &meta.OwnerReferences[i].APIVersion, &meta.OwnerReferences[i].Kind)
	}
}

// share replaces texts by those that are equal to them. The caller holds c.mu.
func share[T ~string](c *Compact, texts ...*T) {
	for _, text := range texts {
		*text = T(c.shared(string(*text)))
	}
}

// each returns pointers to the elements of a slice.
func each[T any](of []T) []*T {
	all := make([]*T, len(of))
	for i := range of {
		all[i] = &of[i]
	}
	return all
}

// rekeyed returns a map whose names are shared.
func rekeyed[V any](c *Compact, of map[string]V) map[string]V {
	if len(of) == 0 {
		return of
	}
	shared := make(map[string]V, len(of))
	for name, value := range of {
		shared[c.shared(name)] = value
	}
	return shared
}

// shared returns a text that is equal, and the same for all. Tenants may make up as many as they like, so they are forgotten at times.
func (c *Compact) shared(text string) string {
	if text == "" || len(text) > maxTextSize {
		return text
	}
	if known, is := c.texts[text]; is {
		return known
	}
	if c.texts == nil || len(c.texts) == maxTexts {
		c.texts = make(map[string]string)
	}
	text = strings.Clone(text) // it may be a piece of something large
	c.texts[text] = text
	return text
}
