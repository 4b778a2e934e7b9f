// Package syncserver serves the synchronization protocol to validation servers. It runs on
// the leader alone: servers find the leader because no other replica listens.
package syncserver
