package plugin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// mayBeKey is the message about an argument that is not understood. It does not quote the argument: a key would appear
// in messages, and in the logs of any program that runs the plugin.
const mayBeKey = "an argument may be a key, which is then in your shell's history: to find out about one, give it to " +
	"kubectl keyward verify on standard input"

// looksLikeKey reports whether a text can be a key, also an imported one, or a part of a key.
func looksLikeKey(text string) bool {
	return strings.Contains(text, "_") || keyformat.Importable(text)
}

// noArguments is cobra.NoArgs, except that it does not quote the argument.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() {
		return fmt.Errorf("%s takes no argument; %s", cmd.Name(), mayBeKey)
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no such verb: did you mean %s?", strings.Join(near, " or "))
	}
	return errors.New("there is no such verb; " + mayBeKey)
}

// keyName requires one argument that can be the name of an ApiKey.
func keyName(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return err
	}
	return optionalKeyName(cmd, args)
}

// optionalKeyName accepts no argument, or what keyName accepts.
func optionalKeyName(cmd *cobra.Command, args []string) error {
	if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
		return err
	}
	if len(args) == 1 && len(validation.IsDNS1123Subdomain(args[0])) > 0 {
		return errors.New("no ApiKey can have such a name; " + mayBeKey)
	}
	return nil
}

var (
	errNoGroup       = errors.New("no Group can have such a name: write NAME or NAMESPACE/NAME; " + mayBeKey)
	errTwoNamespaces = errors.New("NAMESPACE/NAME and --namespace are two namespaces: leave one of them out")
)

// groupName requires one argument that can be NAME or NAMESPACE/NAME of a Group.
func groupName(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return err
	}
	if parts := strings.Split(args[0], "/"); len(parts) > 2 || slices.ContainsFunc(parts, notName) {
		return errNoGroup
	}
	if namespace, _, qualified := strings.Cut(args[0], "/"); qualified {
		if flag := cmd.Flags().Lookup("namespace"); flag != nil && flag.Changed && flag.Value.String() != namespace {
			return errTwoNamespaces
		}
	}
	return nil
}

// named returns the name of a Group, and makes the session one about its namespace if the argument has that.
func (s *session) named(argument string) string {
	namespace, name, qualified := strings.Cut(argument, "/")
	if !qualified {
		return argument
	}
	s.namespace = namespace
	return name
}

// flagError says what is wrong with a flag, without its value.
func flagError(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s takes a value of type %s", invalid.GetFlag().Name, invalid.GetFlag().Value.Type())
	case errors.As(err, &syntax), errors.As(err, &unknown) &&
		(looksLikeKey(unknown.GetSpecifiedName()) || len(unknown.GetSpecifiedShortnames()) > 1):
		return errors.New("there is no such flag; " + mayBeKey)
	}
	return err
}

// hideArguments keeps the commands that cobra adds from quoting their arguments.
func hideArguments(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetFlagErrorFunc(flagError)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args = noArguments
			for _, shell := range cmd.Commands() {
				shell.Args = noArguments
			}
		}
	}
}
