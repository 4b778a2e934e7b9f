package plugin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// completionPatience is how long somebody who pressed Tab waits for the cluster.
var completionPatience = 3 * time.Second // tests have more

// completeKeys offers the ApiKeys of the namespace: for the one argument of verbs that take one, or those that are not named yet.
func (a *app) completeKeys(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 && cmd.Flags().Lookup("selector") == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(cmd, func(ctx context.Context, s *session) (names []string) {
		var keys v1alpha1.ApiKeyList
		if s.List(ctx, &keys, client.InNamespace(s.namespace)) != nil {
			return nil
		}
		for i := range keys.Items {
			key := &keys.Items[i]
			if strings.HasPrefix(key.Name, typed) && !slices.Contains(args, key.Name) {
				names = append(names, key.Name+"\t"+string(key.Status.State)+" "+key.Status.Preview)
			}
		}
		return names
	})
}

// completeGroups offers the Groups of the namespace for the one argument, or those of the namespace that is typed before a slash.
func (a *app) completeGroups(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(cmd, func(ctx context.Context, s *session) (names []string) {
		prefix := typed[:strings.Index(typed, "/")+1]
		typed = s.named(typed)
		var groups v1alpha1.GroupList
		if s.List(ctx, &groups, client.InNamespace(s.namespace)) != nil {
			return nil
		}
		for i := range groups.Items {
			if group := &groups.Items[i]; strings.HasPrefix(group.Name, typed) {
				names = append(names, prefix+group.Name+"\t"+group.Spec.DisplayName)
			}
		}
		return names
	})
}

func (a *app) completeFlags(root *cobra.Command) {
	for flag, offer := range map[string]cobra.CompletionFunc{
		"output": func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return outputsOf(cmd), cobra.ShellCompDirectiveNoFileComp
		},
		"namespace": func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return a.complete(cmd, func(ctx context.Context, s *session) (names []string) {
				var namespaces corev1.NamespaceList
				if s.List(ctx, &namespaces) != nil {
					return nil
				}
				for i := range namespaces.Items {
					if name := namespaces.Items[i].Name; strings.HasPrefix(name, typed) {
						names = append(names, name)
					}
				}
				return names
			})
		},
		"context": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if config, err := a.flags.ToRawKubeConfigLoader().RawConfig(); err == nil {
				for name := range config.Contexts {
					names = append(names, name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	} {
		if err := root.RegisterFlagCompletionFunc(flag, offer); err != nil {
			panic(err) // a flag that does not exist
		}
	}
}

func (a *app) complete(cmd *cobra.Command, names func(context.Context, *session) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	s, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names(ctx, s), cobra.ShellCompDirectiveNoFileComp
}
