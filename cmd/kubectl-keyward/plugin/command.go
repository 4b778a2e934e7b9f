// Package plugin is kubectl keyward. Each verb has a file; what it prints for people is text, and with -o json or
// yaml a document. Progress and prompts go to standard error, so that standard output is the result alone.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
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

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// app is one run of the plugin.
type app struct {
	streams genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	output  string
	now     func() time.Time
	// running is set once the command line has been parsed.
	running bool
}

// Run runs the plugin with the arguments behind its name, and returns its exit code.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams, version string) int {
	muteLibraries()
	return run(ctx, &app{streams: streams, now: time.Now}, args, version)
}

// muteLibraries keeps libraries from writing log lines between the output: their errors are returned, too.
func muteLibraries() {
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
}

func run(ctx context.Context, a *app, args []string, version string) int {
	a.streams.Out, a.streams.ErrOut = cleanWriter{a.streams.Out}, cleanWriter{a.streams.ErrOut}
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
	if !errors.Is(err, errSilent) {
		_, _ = fmt.Fprintln(a.streams.ErrOut, "error: "+line)
	}
	return code
}

func (a *app) root(version string) *cobra.Command {
	root := &cobra.Command{
		Use:     "kubectl-keyward",
		Short:   "Look at API keys and their use, rotate, reveal and revoke them, and find out why one was refused",
		Version: version,
		Long: `Look at API keys and their use, rotate, reveal and revoke them, and find out why one was refused.

Exit codes: 0 done; 1 failed; 2 not understood; 3 the key is not valid, or its state does not allow it;
4 declared, but not in force in time; 5 in force, but not on disconnected servers; 130 interrupted.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl keyward"},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkOutput(cmd); err != nil {
				return err
			}
			for _, arg := range args {
				// It would appear in messages and in the API server's audit log.
				if cmd.Name() != cobra.ShellCompRequestCmd && keyformat.WellFormed(arg) {
					return errors.New(mayBeKey)
				}
			}
			a.running = true
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "", "json or yaml; of usage also wide, table or csv; of billing export csv or focus; of audit table, json or ocsf; default: text for people")
	root.AddCommand(a.status(), a.usage(), a.rotate(), a.revoke(), a.suspend(), a.resume(), a.reveal(), a.verify(), a.sign(), a.explain(),
		a.checkOrigin(), a.inject(), a.importKeys(), a.leaks(), a.billing(), a.audit(), a.console(),
		a.request(), a.requests(), a.approve(), a.refuse(), a.withdraw())
	a.completeFlags(root)
	hideArguments(root)
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
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, authorizationv1.AddToScheme} {
		utilruntime.Must(add(s))
	}
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// requireKubeconfig returns an error if there is no kubeconfig and nothing else says where the cluster is: client-go
// would then try a port of this machine.
func (a *app) requireKubeconfig() error {
	access := a.flags.ToRawKubeConfigLoader().ConfigAccess()
	files := access.GetLoadingPrecedence()
	if access.IsExplicitFile() {
		files = []string{access.GetExplicitFile()}
	} else if _, err := rest.InClusterConfig(); err == nil || *a.flags.APIServer != "" {
		return nil
	}
	for _, file := range files {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return nil // other problems with it show when it is read
		}
	}
	return fmt.Errorf("there is no kubeconfig at %s: name one with --kubeconfig or KUBECONFIG", strings.Join(files, " or "))
}

func (a *app) connect() (*session, error) {
	if err := a.requireKubeconfig(); err != nil {
		return nil, err
	}
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
	return key, s.read(ctx, name, key, "ApiKey", "kubectl keyward status -A")
}

// read reads the object of that name and kind. If there is none, the error names a command that lists them.
func (s *session) read(ctx context.Context, name string, object client.Object, kind, list string) error {
	err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, object)
	if !apierrors.IsNotFound(err) {
		return err
	}
	called := " of that name"
	if !looksLikeKey(name) {
		called = fmt.Sprintf(" %q", name)
	}
	return fmt.Errorf("there is no %s%s in namespace %q: %s lists those that you may see", kind, called, s.namespace, list)
}

// narrate writes a line of progress, for people.
func (a *app) narrate(format string, args ...any) {
	_, _ = fmt.Fprintf(a.streams.ErrOut, format+"\n", cleanArguments(args)...)
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	if w, ok := stream.(cleanWriter); ok {
		stream = w.Unwrap()
	}
	file, ok := stream.(*os.File)
	return ok && terminal(file)
}
