package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Exit codes.
const (
	// ExitError is that something failed.
	ExitError = 1
	// ExitUsage is that the command was not understood.
	ExitUsage = 2
	// ExitRefused is that the key is not valid, or that its state does not allow it.
	ExitRefused = 3
	// ExitTimeout is that a change is declared, but was not in force in time.
	ExitTimeout = 4
	// ExitIncomplete is that a change is in force, but not on disconnected servers.
	ExitIncomplete = 5
	// ExitInterrupted is that somebody pressed Ctrl-C, as shells count it.
	ExitInterrupted = 130
)

// coded is an error with its exit code.
type coded struct {
	code int
	err  error
}

func (c coded) Error() string { return c.err.Error() }
func (c coded) Unwrap() error { return c.err }

func usagef(format string, args ...any) error {
	return coded{ExitUsage, fmt.Errorf(format, args...)}
}

func refusedf(format string, args ...any) error {
	return coded{ExitRefused, fmt.Errorf(format, args...)}
}

// errSilent ends a command whose output has said everything.
var errSilent = errors.New("refused")

// explainError says in one line what went wrong and how to fix it, and returns the exit code.
func explainError(err error) (line string, code int) {
	var known coded
	var request *url.Error
	var network *net.OpError // not net.Error, which errors of files are, too
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted", ExitInterrupted
	case errors.As(err, &known):
		return oneLine(known.Error()), known.code
	case meta.IsNoMatchError(err):
		return "this cluster does not know Keyward's kinds: install them, or choose another cluster with --context", ExitError
	case apierrors.IsUnauthorized(err):
		return "the API server does not know who you are: log in again, or choose another user with --context", ExitError
	case apierrors.IsForbidden(err):
		return oneLine(err.Error()) + "; ask an admin of the namespace, or choose another user with --context", ExitError
	case apierrors.IsConflict(err):
		return oneLine(err.Error()) + "; it was changed meanwhile: look at its status and try again", ExitError
	case errors.As(err, &request), errors.As(err, &network):
		return oneLine(err.Error()) + "; is it running, and is this the right --context?", ExitError
	default:
		return oneLine(err.Error()), ExitError
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
