// Package manifests holds tests of what config ships, as kustomize builds it.
package manifests
