//go:build !linux

package cluster

import (
	"context"
	"errors"
)

var errNoNode = errors.New("a node needs Linux, because it is made of namespaces; docs/how-to/kind.md shows another way")

// RunWithNode works on Linux only.
func RunWithNode(context.Context, Options, NodeOptions, func(server string)) error { return errNoNode }

// CheckNode returns what is missing on this machine for a node.
func CheckNode() error { return errNoNode }

// LoadImages works on Linux only.
func LoadImages(context.Context, string, []string) error { return errNoNode }

// NodeCommand works on Linux only.
func NodeCommand(string, []string) (int, error) { return 1, errNoNode }
