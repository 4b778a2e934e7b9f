// Package publish decides what the manager sends to validation servers: it turns objects into records that hold
// digests only, gives every change a revision, and tracks which server has acknowledged which revision.
//
// The Projector follows watch events and keeps the Hub's records equal to the objects. Each validation server has a
// Subscription, which collects the changes that the server does not have yet. A slow server collects more of them,
// bounded by the number of records, and delays no other server.
package publish
