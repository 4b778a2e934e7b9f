// Package role has what people may do with a Group, by their role, in one table. Kubernetes enforces it: a role is a set of ClusterRoles,
// and the table says what they and admission allow together. The documentation is rendered from it, and who shows buttons asks it which
// to show. It is pure, and no decision about access: a button that is shown by mistake is refused by the API server all the same.
package role

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a person is to a Group. Each may do what the ones before it may.
type Role string

// The roles, in ascending order.
const (
	Viewer Role = "viewer"
	Member Role = "member"
	Admin  Role = "admin"
	Owner  Role = "owner"
)

// ladder has the roles with what each adds to the one before.
var ladder = []struct {
	role        Role
	clusterRole string
}{
	{Viewer, "keyward-view"},
	{Member, "keyward-edit"},
	{Admin, "keyward-admin"},
	{Owner, "keyward-group-owner"},
}

// All returns the roles, in ascending order.
func All() []Role {
	all := make([]Role, len(ladder))
	for i, step := range ladder {
		all[i] = step.role
	}
	return all
}

// ClusterRoles returns what to bind, in the namespace of the Group, to whom a role is given; nil for an unknown role.
func ClusterRoles(r Role) []string {
	var names []string
	for _, step := range ladder[:rank(r)] {
		names = append(names, step.clusterRole)
	}
	return names
}

// rank is 1 for the lowest role, and 0 for what is no role.
func rank(r Role) int {
	return slices.Index(All(), r) + 1
}

// Operation is something that a person does.
type Operation string

// The operations.
const (
	ReadGroups      Operation = "read-groups"
	ReadUsage       Operation = "read-usage"
	ReadLog         Operation = "read-log"
	ReadKeys        Operation = "read-keys"
	ReadAllowlists  Operation = "read-allowlists"
	CreateAllowlist Operation = "create-allowlist"
	ChangeAllowlist Operation = "change-allowlist"
	DeleteAllowlist Operation = "delete-allowlist"
	ReadRequests    Operation = "read-requests"
	RequestKey      Operation = "request-key"
	DeleteRequest   Operation = "delete-request"
	ReadReviews     Operation = "read-reviews"
	DecideRequest   Operation = "decide-request"
	CreateKey       Operation = "create-key"
	ChangeKey       Operation = "change-key"
	RotateKey       Operation = "rotate-key"
	SuspendKey      Operation = "suspend-key"
	ResumeKey       Operation = "resume-key"
	RevokeKey       Operation = "revoke-key"
	DeleteKey       Operation = "delete-key"
	ChangeContent   Operation = "change-content"
	ChangeKeyPolicy Operation = "change-key-policy"
	ChangeContacts  Operation = "change-contacts"
	EnableDefault   Operation = "enable-default-key"
	ChangeTier      Operation = "change-tier"
	ChangeLimits    Operation = "change-limits"
	ChangeState     Operation = "change-state"
	ChangeContext   Operation = "change-context"
	ChangeAccess    Operation = "change-allowed-namespaces"
	CreateGroup     Operation = "create-group"
	DeleteGroup     Operation = "delete-group"
	ReadSecret      Operation = "read-secret"
)

// nobody stands in the table for operations that none of the roles may do.
const nobody Role = ""

// table has for each operation the lowest role that may do it.
var table = []struct {
	operation Operation
	text      string
	lowest    Role
}{
	{ReadGroups, "read Groups", Viewer},
	{ReadUsage, "read what was used (GroupUsage)", Viewer},
	{ReadLog, "read the log (GroupLog)", Viewer},
	{ReadKeys, "read ApiKeys: preview, state, versions, last use", Viewer},
	{ReadAllowlists, "read DomainAllowlists", Viewer},
	{ReadRequests, "read requests for keys that are made in the namespace (KeyRequest)", Viewer},
	{CreateAllowlist, "create a DomainAllowlist", Member},
	{ChangeAllowlist, "change its domains", Member},
	{DeleteAllowlist, "delete it", Member},
	{CreateKey, "create an ApiKey", Admin},
	{ChangeKey, "change its projects or description", Admin},
	{RotateKey, "rotate it", Admin},
	{SuspendKey, "suspend it", Admin},
	{ResumeKey, "resume it", Admin},
	{RevokeKey, "revoke it", Admin},
	{DeleteKey, "delete it", Admin},
	{RequestKey, "ask for an ApiKey (KeyRequest)", Admin},
	{DeleteRequest, "delete the request, and its ApiKey with it", Admin},
	{ReadReviews, "read requests for keys of the Group (KeyRequestReview)", Owner},
	{DecideRequest, "approve or refuse them, withdraw an approval", Owner},
	{ChangeContent, "change projects, routes and capabilities of the Group", Owner},
	{ChangeKeyPolicy, "change its key policy, except `keysMaySet`", Owner},
	{ChangeContacts, "change whom to notify (`contacts`)", Owner},
	{EnableDefault, "give it a default key", Owner},
	{ChangeTier, "change its tier", nobody},
	{ChangeLimits, "change its limits", nobody},
	{ChangeState, "freeze or suspend it", nobody},
	{ChangeContext, "change its context", nobody},
	{ChangeAccess, "change its `allowedNamespaces`", nobody},
	{CreateGroup, "create a Group", nobody},
	{DeleteGroup, "delete a Group", nobody},
	{ReadSecret, "read the Secret of a key", nobody},
}

// Operations returns all operations, in the order of the table.
func Operations() []Operation {
	all := make([]Operation, len(table))
	for i, row := range table {
		all[i] = row.operation
	}
	return all
}

// May reports whether a role includes an operation. Unknown roles include nothing, and unknown operations belong to no role.
func May(r Role, o Operation) bool {
	lowest, ok := Lowest(o)
	return ok && rank(r) >= rank(lowest)
}

// Lowest returns the lowest role that includes an operation; false if none does.
func Lowest(o Operation) (Role, bool) {
	for _, row := range table {
		if row.operation == o {
			return row.lowest, row.lowest != nobody
		}
	}
	return nobody, false
}

// Markdown returns the tables of docs/access.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| role | ClusterRoles to bind |\n|---|---|\n")
	for _, r := range All() {
		fmt.Fprintf(&b, "| %s | `%s` |\n", r, strings.Join(ClusterRoles(r), "`, `"))
	}
	b.WriteString("\n| operation |")
	for _, r := range All() {
		fmt.Fprintf(&b, " %s |", r)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(ladder)) + "\n")
	for _, row := range table {
		fmt.Fprintf(&b, "| %s |", row.text)
		for _, r := range All() {
			if May(r, row.operation) {
				b.WriteString(" yes |")
			} else {
				b.WriteString(" – |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
