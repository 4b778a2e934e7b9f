// Package syncserver serves the synchronization protocol to validation servers. It runs only on the leader: servers find
// the leader because no other replica listens.
package syncserver
