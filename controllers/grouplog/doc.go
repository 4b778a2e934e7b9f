// Package grouplog writes the logs of Groups. On the leader, it looks at every ApiKey, Group and DomainAllowlist, and appends what
// they are evidence of and the log does not have yet. An object is evidence of a transition for as long as anybody needs to find it,
// so a manager that crashes between a transition and its event leaves nothing behind that the next one does not find.
//
// A log is a chain of segments, which are GroupLogs. The API server accepts nothing but an append. The GroupUsage of the Group
// has the head of the log, so that it shows where the end is missing.
package grouplog
