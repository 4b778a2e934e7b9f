package syncserver

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// Bounds of the fields of a Hello; the bounds of its lists are in the codec.
const (
	maxInstance = 253
	maxLabel    = 253 // a Kubernetes name
	maxIdentity = 2*maxLabel + 1
	maxVersion  = 64
	// maxIncarnation is the maximum length of the name of a run of a server, and maxReason that of a reason.
	maxIncarnation, maxReason = 26, 256
	maxRejectedID             = 317
	// widerFrom is the number of selected groups from which on all groups are asked for first.
	widerFrom = 16
)

// subscriber turns a Hello into what the caller may subscribe to. A group or namespace that the Hello names must be allowed.
// If it selects all groups, those that are not allowed are left out, and at least one must be allowed. When subscriber
// returns, it is known which groups the caller may have.
func subscriber(ctx context.Context, id identity, r *rights, hello *syncv1.Hello, groups func() []string) (publish.Subscriber, error) {
	none := publish.Subscriber{}
	if err := checkHello(hello); err != nil {
		return none, err
	}
	selected := &selection{rights: r, Selection: publish.SelectGroups(hello.GetSelector().GetGroups()...)}
	selected.Namespaces = map[string]struct{}{}
	for _, namespace := range hello.GetSelector().GetNamespaces() {
		selected.Namespaces[namespace] = struct{}{}
	}
	if err := selected.authorize(ctx, id, groups); err != nil {
		return none, err
	}
	known := make(map[string][]byte, len(hello.GetKnown()))
	for _, of := range hello.GetKnown() {
		known[of.GetGroup()] = of.GetVersion()
	}
	return publish.Subscriber{
		Instance: hello.GetInstance(), Identity: id.server(), Incarnation: hello.GetIncarnation(), Owner: id.owner(),
		Version:   shownVersion(hello.GetVersion()),
		Selection: selected.Selection, Authorizer: selected, Known: known, Rejections: hello.GetRejections(),
	}, nil
}

// authorize asks for everything that is selected. It returns an error if the caller may not have it.
func (s *selection) authorize(ctx context.Context, id identity, groups func() []string) error {
	if s.Everything() {
		some, err := s.rights.explore(ctx, groups(), id.namespace())
		if err == nil && !some {
			err = denied(id, "any Group")
		}
		return err
	}
	names := s.groupNames()
	if len(names) >= widerFrom {
		if all, err := s.rights.may(ctx, groupName{}); all || err != nil {
			return err
		}
	}
	for _, q := range names {
		allowed, err := s.rights.may(ctx, q)
		switch {
		case err != nil:
			return err
		case !allowed && q.name == "":
			return denied(id, "the Groups of namespace "+q.namespace)
		case !allowed:
			return denied(id, "Group "+q.namespace+"/"+q.name)
		}
	}
	return nil
}

func checkHello(hello *syncv1.Hello) error {
	switch n := len(hello.GetInstance()); {
	case hello == nil:
		return status.Error(codes.InvalidArgument, "the first request of a stream is a Hello")
	case n == 0 || n > maxInstance || strings.ContainsFunc(hello.GetInstance(), notInInstance):
		return status.Errorf(codes.InvalidArgument, "instance: give a name of 1 to %d letters, digits and -._:/", maxInstance)
	}
	for _, group := range hello.GetSelector().GetGroups() {
		if namespace, name, found := strings.Cut(group, "/"); !found || !isName(namespace) || !isName(name) {
			return status.Errorf(codes.InvalidArgument, "selector: %.80q is not of the form namespace/name", group)
		}
	}
	for _, namespace := range hello.GetSelector().GetNamespaces() {
		switch {
		case namespace == "":
			return status.Error(codes.InvalidArgument, "selector: a namespace is empty")
		case !isName(namespace):
			return status.Errorf(codes.InvalidArgument, "selector: %.80q is no namespace", namespace)
		}
	}
	for _, known := range hello.GetKnown() {
		if len(known.GetGroup()) > maxIdentity || len(known.GetVersion()) > maxVersion {
			return status.Errorf(codes.InvalidArgument, "known: %.80q is no group with its version", known.GetGroup())
		}
	}
	if name := hello.GetIncarnation(); name == "" || len(name) > maxIncarnation ||
		strings.ContainsFunc(name, func(r rune) bool { return !isAlphanumeric(r) }) {
		return status.Errorf(codes.InvalidArgument, "incarnation: give a text of 1 to %d letters and digits", maxIncarnation)
	}
	return checkRejections(hello.GetRejections())
}

// shownVersion is the version of a server as it is shown to people; "" if it cannot be. A server is not refused for it.
func shownVersion(version string) string {
	if len(version) > maxVersion || strings.ContainsFunc(version, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return version
}

// checkRejections checks the texts of a list; its length is checked by the codec.
func checkRejections(list *syncv1.Rejections) error {
	for _, rejected := range list.GetRecords() {
		if len(rejected.GetId()) > maxRejectedID || len(rejected.GetReason()) > maxReason {
			return status.Errorf(codes.InvalidArgument, "rejections: an id has at most %d bytes, and a reason %d", maxRejectedID, maxReason)
		}
	}
	return nil
}

// notInInstance reports whether a character is not allowed in an instance's name, which is shown to people and in logs.
func notInInstance(r rune) bool { return !isAlphanumeric(r) && !strings.ContainsRune("-._:/", r) }

// isName reports whether a text may be the name of a namespace or a Group.
func isName(name string) bool {
	return name != "" && len(name) <= maxLabel &&
		!strings.ContainsFunc(name, func(r rune) bool { return !isAlphanumeric(r) && r != '-' && r != '.' })
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
