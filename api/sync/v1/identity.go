// Package syncv1 is the synchronization protocol between the manager and validation servers: code generated from sync.proto.
package syncv1

// Identity is the identity of a group on the wire and in logs: namespace/name.
func (g *Group) Identity() string { return g.GetNamespace() + "/" + g.GetName() }
