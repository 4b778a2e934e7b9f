// Package seal holds the one secret of the manager, and what is derived from it: the seals of the
// Secrets that the manager writes, and the secret that keys the digests of imported keys.
package seal
