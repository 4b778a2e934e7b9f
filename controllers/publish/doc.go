// Package publish is what the manager tells validation servers: it turns objects into
// records that hold digests only, gives every change a revision, and follows which server
// has acknowledged which revision.
//
// The Projector listens to watch events and keeps the Hub's records equal to the objects.
// Each validation server has a Subscription, which collects what the server still has to
// learn; a slow server collects more of it, bounded by the number of records, and delays
// nobody.
package publish
