package controllers

import "github.com/keyward-dev/keyward/pkg/sealedcontext"

// sealingRing returns what reads the keys that seal sealed contexts, each time that they are needed, because a mounted Secret changes; nil
// if there are none.
func sealingRing(directory string) func() (*sealedcontext.Ring, error) {
	if directory == "" {
		return nil
	}
	return func() (*sealedcontext.Ring, error) { return sealedcontext.ReadRing(directory) }
}
