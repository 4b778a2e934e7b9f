// Package seal has the manager's secret, and what is derived from it: the seals of the Secrets that the manager writes, and the
// secret with which the digests of imported keys are keyed.
package seal
