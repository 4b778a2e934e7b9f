package web

import (
	"context"
	"fmt"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/role"
)

// Desk reads and changes what one person may, as that person: every call is a request to the API server with the person's credential. It returns
// ErrNotFound (also for what the person may not see), ErrForbidden, ErrConflict or *InvalidError, wrapped, if the API server says so.
type Desk interface {
	// Member returns the role of the person in a Group, and its tier. Who may not read it is no member: ErrNotFound.
	Member(ctx context.Context, of place.Group) (role.Role, string, error)

	Groups(ctx context.Context, query ListQuery) (page.Groups, error)
	// Platform is how Keyward itself is. It is ErrForbidden for who may not read that.
	Platform(ctx context.Context) (page.Platform, error)
	Keys(ctx context.Context, of place.Group, query ListQuery) (page.Keys, error)
	Key(ctx context.Context, of place.Key) (page.KeyDetail, error)
	// Follow sends the Version of the page of a key, now and after each change, until ctx ends or no more is known, and then closes the channel. Only
	// the latest waits to be received.
	Follow(ctx context.Context, of place.Key) (<-chan string, error)
	Projects(ctx context.Context, of place.Group) (page.Projects, error)
	Usage(ctx context.Context, of place.Group, month string) (page.Usage, error)
	Log(ctx context.Context, of place.Group, query LogQuery) (page.Log, error)
	// Allowlists lists those that apply to the Group; Allowlist is the editor of one, with what was entered if entered is not nil.
	Allowlists(ctx context.Context, of place.Group) (page.Allowlists, error)
	Allowlist(ctx context.Context, of place.Group, namespace, name string, entered *EnteredAllowlist) (page.Allowlist, error)
	// AllowlistYAML shows the editor with the allowlist as it would be saved. What the API server would not accept is an InvalidError.
	AllowlistYAML(ctx context.Context, of place.Group, namespace, name string, entered EnteredAllowlist) (page.Allowlist, error)
	SaveAllowlist(ctx context.Context, of place.Group, namespace, name string, entered EnteredAllowlist) error

	// SeesRequests reports whether the person may list the requests for keys of the Group.
	SeesRequests(ctx context.Context, of place.Group) (bool, error)
	// Requests is one page of them, after is as in ListQuery; Request is one, by the name of its review. It is ErrForbidden for who may read the
	// Group and not the requests.
	Requests(ctx context.Context, of place.Group, after string) (page.Requests, error)
	Request(ctx context.Context, of place.Group, review string) (page.RequestDetail, error)
	// DecideRequest writes a decision. It is ErrConflict if that cannot follow what was decided meanwhile.
	DecideRequest(ctx context.Context, of place.Group, review string, decision Decision) error

	// OwnRequests is one page of the KeyRequests that the person may see where the keys are to be, and OwnRequest is one of them.
	OwnRequests(ctx context.Context, query ListQuery) (page.OwnRequests, error)
	OwnRequest(ctx context.Context, of place.Request) (page.OwnRequest, error)
	// NewRequest is the form for one, with what was entered; sent reports whether the person has filled it in, or a link. Unless it is shown again
	// because it was not accepted, it is ErrForbidden for who may not create KeyRequests in the namespace. AskYAML shows it with the KeyRequest.
	NewRequest(ctx context.Context, entered EnteredRequest, sent bool) (page.Ask, error)
	AskYAML(ctx context.Context, entered EnteredRequest) (page.Ask, error)
	// CreateRequest creates the KeyRequest that the form describes.
	CreateRequest(ctx context.Context, entered EnteredRequest) (place.Request, error)
	// Deletable asks before a KeyRequest is deleted. It is ErrForbidden for who may not delete it.
	Deletable(ctx context.Context, of place.Request) (page.DeleteRequest, error)
	// DeleteRequest deletes it, with its key. That has the name that was typed: it is an InvalidError of "name" otherwise.
	DeleteRequest(ctx context.Context, of place.Request, typed string) error

	// NewKey is the form for a new key: what may be chosen, and what was entered. With YAML if it was asked for.
	NewKey(ctx context.Context, of place.Group, entered *EnteredKey, yaml bool) (page.Create, error)
	// CreateKey creates the ApiKey that the form describes.
	CreateKey(ctx context.Context, of place.Group, entered EnteredKey) (place.Key, error)

	// Rotate, Suspend, Resume and Revoke describe what would happen; those that begin with Do do it.
	Rotate(ctx context.Context, of place.Key) (page.Rotate, error)
	Suspend(ctx context.Context, of place.Key) (page.Suspend, error)
	Resume(ctx context.Context, of place.Key) (page.Resume, error)
	Revoke(ctx context.Context, of place.Key) (page.Revoke, error)
	DoRotate(ctx context.Context, of place.Key, overlap string) error
	DoSuspend(ctx context.Context, of place.Key) error
	DoResume(ctx context.Context, of place.Key) error
	DoRevoke(ctx context.Context, of place.Key) error

	// Claimable asks before a claim. It is ErrForbidden for who may not claim.
	Claimable(ctx context.Context, of place.Key) (page.Claim, error)
	// Claim takes the plaintext of a key that is revealed once, and acknowledges it, so that no other call returns it again. The plaintext is
	// empty if it was claimed before.
	Claim(ctx context.Context, of place.Key) (page.Plaintext, error)
}

// ListQuery chooses one page of a list.
type ListQuery struct {
	Search string // part of a name; of what no name can contain, nothing is found
	After  string // the opaque Next of the page before; at most 4,096 characters
	Order  string // of keys, one of the Orders of the page; by name if it is none of them
}

// LogQuery chooses one page of a log.
type LogQuery struct {
	Types                                []string
	Object, Actor, From, Through, Before string
}

// EnteredKey is the form for a new key as somebody filled it in.
type EnteredKey struct {
	Name, Description              string
	Projects, Permissions, Clients []string
	Addresses                      []string
	Lifetime, Rotation, Reveal     string
}

// EnteredRequest is the form that asks for a key as somebody filled it in.
type EnteredRequest struct {
	Namespace, Name, Group string // Group is NAME, or NAMESPACE/NAME
	Projects, Permissions  []string
	UseCase, Lifetime      string
}

// Decision is what somebody decides about a request for a key.
type Decision struct {
	Verdict string // Approved, Refused or Withdrawn
	Reason  string // at most 500 characters; a refusal has one
}

// EnteredAllowlist is the editor of an allowlist as somebody filled it in.
type EnteredAllowlist struct {
	Domains, Projects []string
	Localhost         bool
	Missing           string
	Site              string // to check; empty: none
	// Version is that of the page which was filled in: what was changed since is not overwritten (ErrConflict). Empty: it is.
	Version string
}

type sentinel string

func (e sentinel) Error() string { return string(e) }

// The errors of a Desk, which are wrapped with what the API server said.
const (
	ErrNotFound  sentinel = "it does not exist, or you may not see it"
	ErrForbidden sentinel = "you may not do this"
	ErrConflict  sentinel = "somebody else has changed it since"
)

// InvalidError says which fields of a form were not accepted.
type InvalidError struct {
	// Fields has the message by the name of the field in the form; "" is about the whole.
	Fields map[string]string
}

// Error implements error.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("%d fields were not accepted", len(e.Fields))
}
