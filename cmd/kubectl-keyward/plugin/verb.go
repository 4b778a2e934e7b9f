package plugin

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// withSession returns the RunE of a verb that needs the cluster. What a verb can refuse without one is its PreRunE's.
func (a *app) withSession(run func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.connect()
		if err != nil {
			return err
		}
		return run(cmd.Context(), s, args)
	}
}

// withKey makes a command one about the ApiKey that its argument names.
func (a *app) withKey(cmd *cobra.Command, run func(context.Context, *session, *v1alpha1.ApiKey) error) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = keyName, a.completeKeys
	cmd.RunE = a.withSession(func(ctx context.Context, s *session, args []string) error {
		key, err := s.key(ctx, args[0])
		if err != nil {
			return err
		}
		return run(ctx, s, key)
	})
	return cmd
}

// withGroup makes a command one about the Group that its argument names.
func (a *app) withGroup(cmd *cobra.Command, run func(context.Context, *session, *v1alpha1.Group) error) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = groupName, a.completeGroups
	cmd.RunE = a.withSession(func(ctx context.Context, s *session, args []string) error {
		group, err := s.group(ctx, s.named(args[0]))
		if err != nil {
			return err
		}
		return run(ctx, s, group)
	})
	return cmd
}
