package cluster

// FreePort is freePort.
var FreePort = freePort
