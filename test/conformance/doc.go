// Package conformance holds the doors to one conformance table: whatever way a request comes
// in, verdict, code, injected headers and removed headers are the same. Its tests run real
// clients and servers on loopback.
package conformance
