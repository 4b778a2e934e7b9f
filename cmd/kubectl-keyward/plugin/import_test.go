package plugin

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

func hashHex(text string) string {
	digest := keyformat.DigestOf(text)
	return hex.EncodeToString(digest[:])
}

func hashBase64(text string) string {
	digest := keyformat.DigestOf(text)
	return base64.StdEncoding.EncodeToString(digest[:])
}

func keysFile(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys.csv")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestImport(t *testing.T) {
	obey(t, server(t, "edge-1"))
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: "importing"}}
	if err := admin.Create(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	find := func(name string) *v1alpha1.ApiKey {
		t.Helper()
		key := &v1alpha1.ApiKey{}
		err := admin.Get(t.Context(), client.ObjectKey{Namespace: live, Name: name}, key)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return key
	}
	file := keysFile(t, "\ufeffName, SHA256, preview, group, projects, permissions, description, expiresAt, labels",
		`import-a,`+hashHex("import-a of the old platform")+`,old_…a,importing,default,read,"the shop, and its ""app""",2099-01-31,team=web tier=1`,
		"", `import-b,`+hashBase64("import-b of the old platform")+`,,,,,,,`,
		`import-c,`+hashHex("import-c of the old platform")+`,,,,,,2020-01-31T00:00:00Z,`)
	args := []string{"import", "--from", file, "--group", "importing", "--project", "default"}

	inLive(t, "", args...).expect(t, 0, "line 2: live/import-a would be created", "line 4: live/import-b would be created",
		"line 5: live/import-c left out: it has expired", "3 keys: 2 would be created, 1 left out: it has expired; add --apply")
	if find("import-a").Name != "" {
		t.Fatal("a dry run has created something")
	}
	args = append(args, "--apply")
	inLive(t, "", args...).expect(t, 0, "line 2: live/import-a created, accepted", "line 4: live/import-b created, accepted")
	a := find("import-a")
	if spec := a.Spec; spec.GroupRef.Name != "importing" || spec.Description != `the shop, and its "app"` || spec.ImportFrom.Preview != "old_…a" ||
		!spec.ExpiresAt.Equal(&metav1.Time{Time: time.Date(2099, 1, 31, 0, 0, 0, 0, time.UTC)}) || a.Labels["tier"] != "1" {
		t.Errorf("%+v", a)
	}
	if a.Status.Preview != "old_…a" || a.Status.State != v1alpha1.KeyActive || a.Status.SecretRef != nil {
		t.Errorf("%+v", a.Status)
	}

	// Repeated, with a line that is new and one that means another key.
	more := keysFile(t, "name,sha256", "import-a,"+hashBase64("import-a of the old platform"), "import-b,"+hashHex("another text"),
		"import-d,"+hashHex("import-d of the old platform"))
	args[2] = more
	inLive(t, "", args...).expect(t, ExitError, "line 2: live/import-a exists, accepted",
		"line 3: live/import-b failed: column name: there is an ApiKey of that name with another hash; choose another name",
		"line 4: live/import-d created, accepted", "3 keys: 1 exists, 1 failed, 1 created; run the command again to continue")
	done := read[importReport](t, inLive(t, "", "import", "--from", file, "--group", "importing", "--project", "default", "--apply", "-o", "json"))
	if len(done.Rows) != 3 || done.Rows[0].Result != importExists || !done.Rows[0].Accepted || done.Rows[2].Result != importExpired {
		t.Errorf("%+v", done)
	}

	// Its text is recognized, and revealed by nobody.
	inLive(t, "", "reveal", "import-a").expect(t, ExitRefused, "was imported by its hash: only its holder has the text")
	text := "imported-by-its-hash+0123456789"
	one := keysFile(t, "name,sha256", "import-e,"+hashHex(text))
	inLive(t, "", "import", "--from", one, "--group", "importing", "--project", "default", "--apply").expect(t, 0)
	inLive(t, text, "verify").expect(t, 0, "Valid: it is accepted.", "live/import-e, Active").lacks(t, text)
	inLive(t, "", "rotate", "import-e").expect(t, 0, "(imported) stays accepted for 24h after that", "import-e is rotated")
	if key := find("import-e"); key.Status.SecretRef == nil || key.Status.Versions[0].State != v1alpha1.VersionRetiring {
		t.Errorf("%+v", key.Status)
	}
}

// TestImportFindsProblems: nothing is created while a line is wrong, and each problem names line, column and hint.
func TestImportFindsProblems(t *testing.T) {
	secret := "sk_live_0123456789abcdefghij"
	file := keysFile(t, "name,sha256,preview,group,projects,expiresAt,expiresAfter,labels,namespace",
		"Upper_Case,"+hashHex("1")+",,g,p,,,,", "b,"+secret+",,g,p,,,,", "c,$2b$10$abc,,g,p,,,,", "d,"+hashHex("4")+",,,,,,,",
		"e,"+hashHex("5")+",a b,g,p,soon,long,x,-", "f,"+hashHex("f")+",f,g,p,,,,", "g,"+hashHex("g")+",,g,p,,,,", "g,"+hashHex("h")+",,g,p,,,,",
		"i,"+hashBase64("g")+",,g,p,,,,", ",,,,,,,,", "too,few")
	r := inLive(t, "", "import", "--from", file, "--apply").expect(t, ExitUsage,
		"line 2, column name: no ApiKey can have such a name", "line 3, column sha256: it is no SHA-256 of a text",
		"line 4, column sha256: ", "line 5, column group: it is empty; name the Group, or add --group",
		"line 5, column projects: it is empty", "line 6, column preview: write at most 32", "line 6, column expiresat: write an instant such as",
		"line 6, column expiresafter: write a duration such as 90d", "line 6, column labels: write labels such as",
		"line 6, column namespace: write the name of a namespace", "line 7, column preview: it is the whole key",
		"line 9, column name: line 8 has the same name", "line 10, column sha256: line 8 has the same hash",
		"line 11, column name: it is empty", "line 12: it has 2 fields, and there are 9 columns", "nothing was created: ")
	r.lacks(t, secret)
	var keys v1alpha1.ApiKeyList
	if err := admin.List(t.Context(), &keys, client.InNamespace(live)); err != nil {
		t.Fatal(err)
	}
	for i := range keys.Items {
		if keys.Items[i].Name == "g" {
			t.Error("something was created")
		}
	}
}

func TestImportRefusesFiles(t *testing.T) {
	for content, want := range map[string]string{
		"":                        "the file is empty",
		"name;sha256\n":           "separate the columns by commas",
		"name,hash\n":             `there is no column "hash"; the columns are `,
		"name\n":                  "there is no column sha256",
		"name,name,sha256\n":      "the column name is there twice",
		"name,sha256\n":           "there is no key below the names of the columns",
		"sep=,\nname,sha256\n":    "leave out the line sep=",
		"name,sha256\ra,b\r":      "end lines by LF or CR LF",
		"\xff\xfen\x00a\x00":      "save the file as CSV in UTF-8",
		"\xfe\xff\x00n\x00a":      "save the file as CSV in UTF-8",
		"sk_live_x,sha256\n":      "the first line has the names of the columns",
		"name,sha256\n\"a\"b,c\n": "line 2 is no CSV",
	} {
		inLive(t, content, "import", "--from", "-").expect(t, ExitUsage, want).lacks(t, "sk_live_x")
	}
	inLive(t, "", "import").expect(t, ExitUsage, "--from: name the file")
	inLive(t, "", "import", "--from", filepath.Join(t.TempDir(), "none")).expect(t, ExitError, "--from: ")
	inLive(t, "name,sha256,group,projects\na,"+hashHex("a")+",nowhere,p\n", "import", "--from", "-").expect(t, ExitUsage,
		`line 2, column group: there is no Group "nowhere" in namespace "live"; create it`)
}

// TestImportNeedsSlots: admission sees one key at a time, so a dry run finds out only this way that there are too many.
func TestImportNeedsSlots(t *testing.T) {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: "few-slots"}}
	group.Spec.Limits.Keys = ptr.To[int32](1)
	if err := admin.Create(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Group shows its limit", func() bool {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(group), group); err != nil {
			t.Fatal(err)
		}
		return group.Status.Keys != nil && group.Status.Keys.Limit != nil
	})
	file := keysFile(t, "name,sha256", "slot-a,"+hashHex("slot-a"), "slot-b,"+hashHex("slot-b"))
	inLive(t, "", "import", "--from", file, "--group", "few-slots", "--project", "default", "--apply").expect(t, ExitUsage,
		`line 2, column group: Group "few-slots" has room for 1 keys, and 2 lines need one; raise spec.limits.keys`)
}

func TestImportManifests(t *testing.T) {
	r := inLive(t, "name,sha256,group,projects,rotationEvery,namespace\na,"+hashHex("a")+",g,p q,60d,elsewhere\nb,"+hashHex("b")+",tenants/g,p,,\n",
		"import", "--from", "-", "--manifests", "--expires-after", "90d").expect(t, 0)
	documents := strings.Split(strings.TrimPrefix(r.out, "---\n"), "---\n")
	if len(documents) != 2 {
		t.Fatal(r.out)
	}
	keys := make([]v1alpha1.ApiKey, 2)
	for i, document := range documents {
		if err := yaml.UnmarshalStrict([]byte(document), &keys[i]); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
	}
	if k := keys[0]; k.Namespace != "elsewhere" || fmt.Sprint(k.Spec.Projects) != "[p q]" || k.Spec.Rotation.Every != "60d" ||
		k.Spec.ExpiresAfter != "90d" || k.Spec.ImportFrom.SHA256 != hashHex("a") || k.Kind != "ApiKey" {
		t.Errorf("%+v", k)
	}
	if k := keys[1]; k.Namespace != live || k.Spec.GroupRef.Namespace != "tenants" {
		t.Errorf("%+v", k)
	}
	if strings.Contains(r.out, "status") {
		t.Error(r.out)
	}
}

func FuzzImportFile(f *testing.F) {
	f.Add("name,sha256\na," + hashHex("a") + "\n")
	f.Add("name,sha256,preview,group,projects,permissions,description,expiresAt,expiresAfter,rotationEvery,labels,namespace\n" +
		"a," + hashBase64("a") + ",x…,ns/g,p;q,read,\"d,\n\",2099-01-01,,60d,a=b,ns\n")
	f.Fuzz(func(t *testing.T, content string) {
		file := importFile{defaults: importDefaults{namespace: "default", group: "g", projects: []string{"p"}}, now: metav1.Now()}
		if err := file.read(strings.NewReader(content)); err != nil {
			return
		}
		names := map[string]bool{}
		for i := range file.rows {
			key := file.rows[i].key
			if key.Name == "" || key.Namespace == "" || key.Spec.GroupRef.Name == "" || len(key.Spec.Projects) == 0 || names[key.Namespace+"/"+key.Name] {
				t.Fatalf("%+v", key)
			}
			names[key.Namespace+"/"+key.Name] = true
			if digest, err := keyformat.ReadSHA256(key.Spec.ImportFrom.SHA256); err != nil || digest != file.rows[i].digest {
				t.Fatalf("%v %v", digest, err)
			}
		}
		for _, problem := range file.problems {
			if len(problem.Text) > 2000 || strings.ContainsAny(problem.Text, "\n\x1b") {
				t.Fatalf("%q", problem.Text)
			}
		}
	})
}

// TestImportDoesNotWaitInVain: a key that has ended, or that somebody has to act for, is reported at once; the timeout is longer than
// the test may take.
func TestImportDoesNotWaitInVain(t *testing.T) {
	obey(t, server(t, "edge-1"))
	key := grown(t, mounted)
	flags := []string{"--group", key.Name, "--project", "default", "--timeout", "25s"}
	file := keysFile(t, "name,sha256", "vain-a,"+hashHex("vain-a of the old platform"))
	apply := append([]string{"import", "--apply", "--from", file}, flags...)
	inLive(t, "", apply...).expect(t, 0, "live/vain-a created, accepted")
	inLive(t, "", "revoke", "vain-a", "--yes").expect(t, 0)
	inLive(t, "", apply...).expect(t, 0, "live/vain-a exists, and was revoked").lacks(t, "not accepted after")

	taken := keysFile(t, "name,sha256", "vain-b,"+hashHex(text(t, key)))
	inLive(t, "", append([]string{"import", "--apply", "--from", taken}, flags...)...).expect(t, ExitRefused,
		"live/vain-b created: ImportRefused: ", "is the key of").lacks(t, "not accepted after")

	// The same hash under another name: the dry run knows those that are imported in the namespaces of the file.
	again := keysFile(t, "name,sha256", "vain-c,"+hashBase64("vain-a of the old platform"))
	inLive(t, "", append([]string{"import", "--from", again}, flags...)...).expect(t, ExitUsage,
		"line 2, column sha256: ApiKey live/vain-a has the same hash; each key has one ApiKey")
}

func TestImportOfWhatHasExpired(t *testing.T) {
	namespace(t, "expired-imports")
	object(t, "expired-imports", "old", func(k *v1alpha1.ApiKey) {
		k.Spec.ImportFrom = &v1alpha1.ImportSource{SHA256: hashHex("old")}
		k.Status.State = v1alpha1.KeyExpired
	})
	file := keysFile(t, "name,sha256,expiresAt", "old,"+hashHex("old")+",2020-01-01")
	keyward(t, "", "-n", "expired-imports", "import", "--apply", "--from", file, "--group", "g", "--project", "p", "--timeout", "10s").expect(t, 0,
		"expired-imports/old exists, and has expired").lacks(t, "not accepted after")
}

// TestImportGroupFlag: the flag is read as the column is.
func TestImportGroupFlag(t *testing.T) {
	row := "name,sha256,projects\na," + hashHex("a") + ",p\n"
	inLive(t, row, "import", "--from", "-", "--manifests", "--group", "tenants/g").expect(t, 0, "namespace: tenants", "name: g")
	inLive(t, row, "import", "--from", "-", "--manifests", "--group", "a/b/c").expect(t, ExitUsage,
		"--group: write the name of a Group, or its namespace, / and its name")
}

// TestImportContradictions: the order of the columns decides nothing.
func TestImportContradictions(t *testing.T) {
	for _, content := range []string{
		"name,sha256,expiresAfter,expiresAt\na," + hashHex("a") + ",Never,2099-01-01\n",
		"name,sha256,expiresAt,expiresAfter\na," + hashHex("a") + ",2099-01-01,Never\n",
	} {
		inLive(t, content, "import", "--from", "-", "--manifests", "--group", "g", "--project", "p", "--expires-after", "30d").expect(t, ExitUsage,
			"line 2, column expiresafter: expiresAt is there, too; leave one of them empty")
	}
	// The flag is a default, and no contradiction.
	inLive(t, "name,sha256,expiresAt\na,"+hashHex("a")+",2099-01-01\n", "import", "--from", "-", "--manifests", "--group", "g", "--project", "p",
		"--expires-after", "30d").expect(t, 0, "2099-01-01").lacks(t, "expiresAfter")
}

// stumbling is an API server that fails as often as it has errors, before or after it has created something.
type stumbling struct {
	client.WithWatch

	errors []error
	after  bool
	sent   int
}

func (s *stumbling) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	s.sent++
	if len(s.errors) == 0 {
		return s.WithWatch.Create(ctx, object, options...)
	}
	err := s.errors[0]
	s.errors = s.errors[1:]
	if s.after {
		if failed := s.WithWatch.Create(ctx, object, options...); failed != nil {
			return failed
		}
	}
	return err
}

// TestImportOutlastsFailures: what an API server cannot do at the moment is asked for again, and what it refuses is not.
func TestImportOutlastsFailures(t *testing.T) {
	lost := apierrors.NewInternalError(errors.New("failed to call webhook: EOF"))
	busy := apierrors.NewTooManyRequests("busy", 0)
	late := apierrors.NewTimeoutError("late", 0)
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "apikeys"}, "x", errors.New("no"))
	for name, test := range map[string]struct {
		errors []error
		after  bool
		want   string
		sent   int
	}{
		"a webhook that is replaced":      {errors: []error{lost}, want: importCreated, sent: 2},
		"a busy API server":               {errors: []error{busy, late, busy}, want: importCreated, sent: 4},
		"an answer that is lost":          {errors: []error{late}, after: true, want: importExists, sent: 2},
		"a fault that does not go away":   {errors: []error{lost, lost, lost, lost, lost, lost}, want: importFailed, sent: 5},
		"a refusal":                       {errors: []error{refused}, want: importFailed, sent: 1},
		"a refusal after a lost request":  {errors: []error{lost, refused}, want: importFailed, sent: 2},
		"nothing that is worth a mention": {want: importCreated, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stumbling{WithWatch: admin, errors: test.errors, after: test.after}
			digest := keyformat.DigestOf(name)
			key := &v1alpha1.ApiKey{
				ObjectMeta: metav1.ObjectMeta{Namespace: live, Name: "stumbling-" + hex.EncodeToString(digest[:4])},
				Spec: v1alpha1.ApiKeySpec{GroupRef: v1alpha1.GroupReference{Name: "importing"}, Projects: []v1alpha1.ProjectName{"default"},
					ImportFrom: &v1alpha1.ImportSource{SHA256: hashHex(name)}},
			}
			run := &importRun{apply: true}
			got := run.create(t.Context(), &session{WithWatch: s}, &importRow{line: 2, key: key, digest: digest})
			if got.Result != test.want || s.sent != test.sent {
				t.Errorf("%+v after %d requests, want %s after %d", got, s.sent, test.want, test.sent)
			}
		})
	}
}
