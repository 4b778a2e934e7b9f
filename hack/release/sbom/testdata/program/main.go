// Command program is linked from a module, for the tests of package sbom.
package main

import "github.com/google/go-cmp/cmp"

func main() { _ = cmp.Equal(1, 1) }
