// Package mutationdetector has client-go's informers watch the objects that they hand out: a test that changes an
// object of a cache panics.
//
// client-go reads the variable when its package is initialized. Go initializes, of the packages whose imports are
// initialized, the one whose path sorts first; this one imports os only, as client-go does, and so comes before it.
package mutationdetector

import "os"

func init() {
	if err := os.Setenv("KUBE_CACHE_MUTATION_DETECTOR", "true"); err != nil {
		panic(err)
	}
}
