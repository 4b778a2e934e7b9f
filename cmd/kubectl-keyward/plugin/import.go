package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// Results of a row.
const (
	importCreated   = "created"
	importWould     = "would be created"
	importExists    = "exists"
	importRevoked   = "exists, and was revoked"
	importOver      = "exists, and has expired"
	importExpired   = "left out: it has expired"
	importFailed    = "failed"
	importNotTried  = "not tried"
	importedWorkers = 16
	importPage      = 500
)

// importResult is what became of one row.
type importResult struct {
	Line      int    `json:"line"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Result    string `json:"result"`
	Accepted  bool   `json:"accepted,omitempty"`
	Error     string `json:"error,omitempty"`

	refused bool // somebody has to act, or it has ended: waiting is of no use
}

// importReport is the document that import prints.
type importReport struct {
	Applied  bool            `json:"applied"`
	Problems []importProblem `json:"problems,omitempty"`
	Rows     []importResult  `json:"rows"`
}

// importRun is one run of import.
type importRun struct {
	*app
	from             string
	apply, manifests bool
	defaults         importDefaults
	waiting          patience
	file             importFile
	existing         map[client.ObjectKey]*v1alpha1.ApiKey
	imported         map[keyformat.Digest]client.ObjectKey // the existing ApiKey that is imported by a hash
}

func (a *app) importKeys() *cobra.Command {
	r := &importRun{app: a}
	cmd := &cobra.Command{
		Use:   "import --from FILE",
		Short: "Import keys of another platform by the hashes of their texts",
		Long: `Import keys of another platform of which the SHA-256 is known: an ApiKey is created for each line of a CSV file.
Without --apply, the file is checked and every ApiKey is sent to the API server as a dry run.

The columns name and sha256 are required; others are preview, group, projects, permissions, description,
expiresAt, expiresAfter, rotationEvery, labels and namespace. An ApiKey that exists with the same hash stays as it
is, so that the command can be repeated after an interruption. Nothing is created while a line is wrong.`,
		Example: `  kubectl keyward -n acme import --from keys.csv --group acme --project default
  kubectl keyward -n acme import --from keys.csv --group acme --project default --apply
  kubectl keyward -n acme import --from keys.csv --manifests >keys.yaml`,
		Args: noArguments,
		PreRunE: func(*cobra.Command, []string) error {
			switch {
			case r.from == "":
				return usagef("--from: name the file, or write - for standard input")
			case r.manifests && r.apply:
				return usagef("write --manifests or --apply, and not both")
			case r.defaults.group != "":
				if _, err := parseImportGroup(r.defaults.group); err != nil {
					return usagef("--group: %w", err)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&r.from, "from", "", "CSV file with a line for each key; - is standard input")
	flags.BoolVar(&r.apply, "apply", false, "create the ApiKeys")
	flags.BoolVar(&r.manifests, "manifests", false, "print the ApiKeys as YAML, for Git, and ask no cluster")
	flags.StringVar(&r.defaults.group, "group", "", "the Group of keys whose line names none, or its namespace, / and its name")
	flags.StringSliceVar(&r.defaults.projects, "project", nil, "a project of keys whose line names none; may be repeated")
	flags.StringVar(&r.defaults.lifetime, "expires-after", "", "the lifetime of keys whose line says nothing, such as 90d; default: that of the Group")
	flags.BoolVar(&r.waiting.wait, "wait", true, "with --apply, wait until validation servers accept the keys")
	flags.DurationVar(&r.waiting.timeout, "timeout", 15*time.Minute, "how long to wait")
	return cmd
}

func (r *importRun) run(ctx context.Context) error {
	if err := r.readFile(); err != nil {
		return err
	}
	report := &importReport{Applied: r.apply, Problems: r.file.problems, Rows: []importResult{}}
	if len(r.file.problems) > 0 {
		return r.conclude(report)
	}
	if r.manifests {
		return r.printManifests()
	}
	s, err := r.connectUnthrottled()
	if err != nil {
		return err
	}
	if err := r.findExisting(ctx, s); err != nil {
		return err
	}
	r.checkHashes(report)
	if err := r.checkSlots(ctx, s, report); err != nil {
		return err
	}
	if len(report.Problems) == 0 {
		report.Rows = r.createAll(ctx, s)
		if r.apply && r.waiting.wait {
			r.awaitAccepted(ctx, s, report.Rows)
		}
	}
	return r.conclude(report)
}

func (r *importRun) readFile() error {
	namespace, _, err := r.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	r.defaults.namespace = namespace
	r.file.defaults, r.file.now = r.defaults, metav1.NewTime(r.now())
	in := r.streams.In
	if r.from != "-" {
		file, err := os.Open(r.from)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	if err := r.file.read(in); err != nil {
		return usagef("%s: %w", r.from, err)
	}
	if len(r.file.rows) == 0 && len(r.file.problems) == 0 {
		return usagef("%s: there is no key below the names of the columns", r.from)
	}
	return nil
}

// connectUnthrottled connects without the client's own limit of 5 requests per second: the API server limits what it processes.
func (r *importRun) connectUnthrottled() (*session, error) {
	s, err := r.connect()
	if err != nil {
		return nil, err
	}
	s.config.QPS = -1
	c, err := client.NewWithWatch(s.config, client.Options{Scheme: scheme()})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	s.WithWatch = c
	return s, nil
}

// list calls use with all ApiKeys of the namespaces of the file.
func (r *importRun) list(ctx context.Context, s *session, use func(*v1alpha1.ApiKey)) error {
	var namespaces []string
	for i := range r.file.rows {
		if of := r.file.rows[i].key.Namespace; !slices.Contains(namespaces, of) {
			namespaces = append(namespaces, of)
		}
	}
	for _, namespace := range namespaces {
		for next := ""; ; {
			var page v1alpha1.ApiKeyList
			if err := s.List(ctx, &page, client.InNamespace(namespace), client.Limit(importPage), client.Continue(next)); err != nil {
				return err
			}
			for i := range page.Items {
				use(&page.Items[i])
			}
			if next = page.Continue; next == "" {
				break
			}
		}
	}
	return nil
}

func (r *importRun) findExisting(ctx context.Context, s *session) error {
	r.existing, r.imported = map[client.ObjectKey]*v1alpha1.ApiKey{}, map[keyformat.Digest]client.ObjectKey{}
	return r.list(ctx, s, func(key *v1alpha1.ApiKey) {
		name := client.ObjectKeyFromObject(key)
		r.existing[name] = key
		if digest, problem := lifecycle.ImportDigest(key); lifecycle.ImportsDigest(key) && problem == nil {
			r.imported[digest] = name
		}
	})
}

// pending returns the rows that an ApiKey is to be created for, by their Groups.
func (r *importRun) pending() map[client.ObjectKey][]*importRow {
	of := map[client.ObjectKey][]*importRow{}
	for i := range r.file.rows {
		row := &r.file.rows[i]
		if row.expired || r.existing[client.ObjectKeyFromObject(row.key)] != nil {
			continue
		}
		ref := row.key.Spec.GroupRef
		group := client.ObjectKey{Namespace: or(ref.Namespace, row.key.Namespace), Name: ref.Name}
		of[group] = append(of[group], row)
	}
	return of
}

// checkHashes finds out before anything is created which hashes are those of other ApiKeys, as far as the API shows it: of a key that the
// manager has minted, or whose hash is not in spec any more, and of one that was deleted, only the manager knows.
func (r *importRun) checkHashes(report *importReport) {
	for i := range r.file.rows {
		row := &r.file.rows[i]
		if other, is := r.imported[row.digest]; is && other != client.ObjectKeyFromObject(row.key) {
			report.Problems = append(report.Problems, importProblem{row.line, columnSHA256,
				fmt.Sprintf("ApiKey %s has the same hash; each key has one ApiKey: leave the line out", other)})
		}
	}
}

// checkSlots finds out before anything is created whether the Groups exist and have room for all keys: admission sees one key
// at a time.
func (r *importRun) checkSlots(ctx context.Context, s *session, report *importReport) error {
	for name, rows := range r.pending() {
		group := &v1alpha1.Group{}
		problem := func(format string, args ...any) {
			report.Problems = append(report.Problems, importProblem{rows[0].line, columnGroup, fmt.Sprintf(format, args...)})
		}
		switch err := s.Get(ctx, name, group); {
		case apierrors.IsNotFound(err):
			problem("there is no Group %q in namespace %q; create it", name.Name, name.Namespace)
		case apierrors.IsForbidden(err): // of another namespace: admission says whether it is right
		case err != nil:
			return err
		default:
			if keys := group.Status.Keys; keys != nil && keys.Limit != nil {
				if free := max(int(*keys.Limit-ptr.Deref(keys.Active, 0)), 0); len(rows) > free {
					problem("Group %q has room for %d keys, and %d lines need one; raise spec.limits.keys, or its tier", name.Name, free, len(rows))
				}
			}
		}
	}
	slices.SortFunc(report.Problems, func(a, b importProblem) int { return a.Line - b.Line })
	return nil
}

// createAll creates the ApiKeys, some at a time, and returns the results in the order of the lines.
func (r *importRun) createAll(ctx context.Context, s *session) []importResult {
	results := make([]importResult, len(r.file.rows))
	rows := make(chan int)
	var working sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range importedWorkers {
		working.Go(func() {
			for i := range rows {
				results[i] = r.create(ctx, s, &r.file.rows[i])
				mu.Lock()
				if done++; done%1000 == 0 {
					r.narrate("%d of %d lines", done, len(results))
				}
				mu.Unlock()
			}
		})
	}
	for i := range results {
		rows <- i
	}
	close(rows)
	working.Wait()
	return results
}

func (r *importRun) create(ctx context.Context, s *session, row *importRow) importResult {
	result := importResult{Line: row.line, Namespace: row.key.Namespace, Name: row.key.Name}
	fail := func(err error) importResult {
		result.Result = importFailed
		result.Error, _ = explainError(err)
		return result
	}
	existing := r.existing[client.ObjectKeyFromObject(row.key)]
	switch {
	case ctx.Err() != nil:
		result.Result = importNotTried
		return result
	case existing == nil && row.expired:
		result.Result = importExpired
		return result
	case existing == nil:
		options := []client.CreateOption{fieldOwner}
		result.Result = importCreated
		if !r.apply {
			options, result.Result = append(options, client.DryRunAll), importWould
		}
		err := createAgain(ctx, s, row.key, options)
		if !apierrors.IsAlreadyExists(err) {
			if err != nil {
				return fail(err)
			}
			return result
		}
		existing = &v1alpha1.ApiKey{} // somebody has created it meanwhile
		if err := s.Get(ctx, client.ObjectKeyFromObject(row.key), existing); err != nil {
			return fail(err)
		}
	}
	result.Result = importExists
	digest, problem := lifecycle.ImportDigest(existing)
	switch {
	case !lifecycle.ImportsDigest(existing):
		return fail(errors.New("column name: there is an ApiKey of that name that is not imported by a hash; choose another name"))
	case problem != nil || digest != row.digest:
		return fail(errors.New("column name: there is an ApiKey of that name with another hash; choose another name"))
	case lifecycle.Revoked(existing):
		result.Result = importRevoked
	case !lifecycle.Counts(existing):
		result.Result = importOver
	}
	return result
}

// pause is how long is waited before an ApiKey is sent once more, the second time twice as long, and so on.
var pause = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 5}

// createAgain creates an ApiKey. Of thousands one may meet an API server that is busy, or a webhook that is just being replaced: it is
// sent again. If it was created in spite of the error, the error is then that it exists.
func createAgain(ctx context.Context, s *session, key *v1alpha1.ApiKey, options []client.CreateOption) error {
	passes := func(err error) bool {
		return ctx.Err() == nil && (apierrors.IsInternalError(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) ||
			apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err))
	}
	return retry.OnError(pause, passes, func() error { return s.Create(ctx, key.DeepCopy(), options...) })
}
