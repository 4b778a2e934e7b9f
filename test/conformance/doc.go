// Package conformance compares the integrations by one conformance table: verdict, code, injected headers and removed
// headers are the same for every way in which a request arrives. Its tests run real clients and servers on loopback.
package conformance
