// Package v1alpha1 is the Kubernetes API of Keyward: Group, ApiKey and DomainAllowlist.
//
// What a single object can show to be wrong is refused by its schema (formats, bounds,
// immutability, one-of); what needs a second object is checked at admission as a courtesy
// and by the controllers as the law.
//
// +kubebuilder:object:generate=true
// +groupName=keyward.dev
package v1alpha1
