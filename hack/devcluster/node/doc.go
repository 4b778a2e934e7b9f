// Package node makes a machine for a Kubernetes node out of namespaces: mounts, network, processes and cgroups of its own, of
// which nothing is left when its one process ends, however it ends.
//
//	Spawn      starts a program in new namespaces, and a janitor that removes the cgroups after its end
//	Init       is process 1 there: it starts the program that it is given and collects the processes that others leave
//	SetUp      is called by that program: private mounts, and a network with one address
//	Forward    connects a port of the host with an address inside
//
// It works on Linux, as root.
package node
