// Package plugin is kubectl keyward. Each verb has a file; what it prints for people is text, and with -o json or
// yaml a document. Narration and questions go to standard error, so that standard output is the result alone.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/api/keyformat"
	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// app is one run of the plugin.
type app struct {
	streams genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	output  string
	now     func() time.Time
	// running is set once the command line was understood.
	running bool
}

// Run runs the plugin with the arguments behind its name, and returns its exit code.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams, version string) int {
	quieten()
	return run(ctx, &app{streams: streams, now: time.Now}, args, version)
}

// quieten keeps libraries from writing between the lines: their errors are returned, too.
func quieten() {
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
}

func run(ctx context.Context, a *app, args []string, version string) int {
	a.flags = genericclioptions.NewConfigFlags(true)
	root := a.root(version)
	root.SetArgs(args)
	root.SetIn(a.streams.In)
	root.SetOut(a.streams.Out)
	root.SetErr(a.streams.ErrOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !a.running {
		err = usagef("%w; see kubectl keyward --help", err)
	}
	line, code := explainError(err)
	if !errors.Is(err, errQuiet) {
		_, _ = fmt.Fprintln(a.streams.ErrOut, "error: "+line)
	}
	return code
}

func (a *app) root(version string) *cobra.Command {
	root := &cobra.Command{
		Use:     "kubectl-keyward",
		Short:   "Look at API keys, rotate, reveal and revoke them, and find out why one was refused",
		Version: version,
		Long: `Look at API keys, rotate, reveal and revoke them, and find out why one was refused.

Exit codes: 0 done; 1 failed; 2 not understood; 3 the key is not valid, or its state does not allow it;
4 declared, but not in force in time; 5 in force, but not on servers that are away; 130 interrupted.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl keyward"},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if a.output != "" && a.output != "json" && a.output != "yaml" {
				return fmt.Errorf("-o %s: write json or yaml", a.output)
			}
			for _, arg := range args {
				// It would come back in messages, and stand in the API server's audit log.
				if cmd.Name() != cobra.ShellCompRequestCmd && keyformat.WellFormed(arg) {
					return errors.New("an argument is a key itself, which now stands in your shell's history: to find out about it, give it to kubectl keyward verify on standard input")
				}
			}
			a.running = true
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "", "json or yaml; default: text for people")
	root.AddCommand(a.status(), a.rotate(), a.revoke(), a.suspend(), a.resume(), a.reveal(), a.verify(), a.explain())
	a.completeFlags(root)
	return root
}

// session is a connection to the cluster.
type session struct {
	client.WithWatch
	config    *rest.Config
	namespace string
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

func (a *app) connect() (*session, error) {
	namespace, _, err := a.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config, err := a.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.UserAgent = "kubectl-keyward"
	config.WarningHandler = rest.NewWarningWriter(a.streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme()})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &session{WithWatch: c, config: config, namespace: namespace}, nil
}

// key reads the ApiKey of that name.
func (s *session) key(ctx context.Context, name string) (*v1alpha1.ApiKey, error) {
	key := &v1alpha1.ApiKey{}
	err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, key)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no ApiKey %q in namespace %q: kubectl keyward status -A lists those that you may see", name, s.namespace)
	}
	return key, err
}

// fieldOwner is under which name the plugin's edits are recorded.
const fieldOwner = client.FieldOwner("kubectl-keyward")

// patch changes the ApiKey as it is, if it needs to be.
func (s *session) patch(ctx context.Context, key *v1alpha1.ApiKey, change func(*v1alpha1.ApiKeySpec)) error {
	before := key.DeepCopy()
	change(&key.Spec)
	return s.Patch(ctx, key, client.MergeFrom(before), fieldOwner)
}

// narrate writes a line for people.
func (a *app) narrate(format string, args ...any) {
	_, _ = fmt.Fprintf(a.streams.ErrOut, format+"\n", args...)
}

// isTerminal is whether a stream is one.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && terminal(file)
}
