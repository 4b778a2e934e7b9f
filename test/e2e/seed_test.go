package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/seal"
	granting "github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// putsPerTransaction stays below the limits of an etcd transaction, 128 operations and 1.5 MiB.
const putsPerTransaction = 100

// seed stores copies of an ApiKey that is minted and delivered, and of its Secret, each with a key of its own. It bypasses
// the API server, which would take half an hour for 100,000 of them. No manager may lead meanwhile.
func (w *world) seed(of string, n int) (names []string) {
	w.t.Helper()
	client, url := w.etcdClient()
	defer client.CloseIdleConnections()
	at := func(resource, name string) string { return "/registry/" + resource + "/" + w.namespace + "/" + name }
	stored := w.etcd()
	key, secret := &v1alpha1.ApiKey{}, &corev1.Secret{}
	if err := json.Unmarshal(stored[at("keyward.dev/apikeys", of)], key); err != nil {
		w.t.Fatal(err)
	}
	if _, _, err := serializer.NewCodecFactory(controllers.Scheme()).UniversalDeserializer().Decode(stored[at("secrets", of)], nil,
		secret); err != nil {
		w.t.Fatal(err)
	}
	seals := w.seals(stored["/registry/secrets/"+systemNamespace+"/"+seal.SecretName])
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for chunk := range slices.Chunk(all, putsPerTransaction) {
		var puts []etcdValue
		for _, i := range chunk {
			name := fmt.Sprintf("seed-%06d", i)
			names = append(names, name)
			text, err := keyformat.Mint("kw", rand.Reader)
			if err != nil {
				w.t.Fatal(err)
			}
			k, s := key.DeepCopy(), secret.DeepCopy()
			become(k, s, name, text, seals)
			puts = append(puts,
				etcdValue{[]byte(at("keyward.dev/apikeys", name)), w.encodeJSON(k)},
				etcdValue{[]byte(at("secrets", name)), w.encodeProtobuf(s)})
		}
		if err := etcdPut(client, url, puts); err != nil {
			w.t.Fatal(err)
		}
	}
	return names
}

// seals are made with the manager's secret: the manager would write each Secret without a seal once more.
func (w *world) seals(stored []byte) *seal.Keys {
	w.t.Helper()
	secret := &corev1.Secret{}
	if _, _, err := serializer.NewCodecFactory(controllers.Scheme()).UniversalDeserializer().Decode(stored, nil, secret); err != nil {
		w.t.Fatal(err)
	}
	seals, err := seal.NewKeys(secret.Data["root"])
	if err != nil {
		w.t.Fatal(err)
	}
	return seals
}

// become turns copies of an ApiKey and its Secret into those of another key.
func become(key *v1alpha1.ApiKey, secret *corev1.Secret, name string, text keyformat.Key, seals *seal.Keys) {
	key.Name, key.UID = name, uuid.NewUUID()
	key.Status.KeyID, key.Status.Preview, key.Status.SecretRef.Name = publish.KeyID(key.UID), text.Preview(), name
	version := &key.Status.Versions[0]
	version.Preview, version.Digest = text.Preview(), text.Digest().String()
	ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
	ready.Message = strings.ReplaceAll(ready.Message, "Secret "+secret.Name, "Secret "+name)
	key.Status.Enforcement.Record = publish.RecordID(publish.KeyRecord(key, granting.Whole(key)))

	secret.Name, secret.UID = name, uuid.NewUUID()
	secret.OwnerReferences[0].Name, secret.OwnerReferences[0].UID = key.Name, key.UID
	secret.Labels[v1alpha1.LabelAPIKey] = key.Status.KeyID
	secret.Annotations[v1alpha1.AnnotationPreview], secret.Annotations[v1alpha1.AnnotationAPIKey] = version.Preview, name
	secret.Data[v1alpha1.SecretKeyAPIKey] = []byte(text.Reveal())
	secret.Annotations[v1alpha1.AnnotationSeal] = seals.Seal(seal.Sealed{
		Namespace: secret.Namespace, ApiKey: name, Text: text.Reveal(), Version: secret.Annotations[v1alpha1.AnnotationVersion],
		MintedAt: secret.Annotations[v1alpha1.AnnotationMintedAt], ExpiresAt: secret.Annotations[v1alpha1.AnnotationExpiresAt],
	})
}

func (w *world) encodeJSON(key *v1alpha1.ApiKey) []byte {
	key.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKey"))
	encoded, err := json.Marshal(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return encoded
}

func (w *world) encodeProtobuf(secret *corev1.Secret) []byte {
	secret.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Secret"})
	var encoded bytes.Buffer
	if err := protobuf.NewSerializer(runtime.NewScheme(), runtime.NewScheme()).Encode(secret, &encoded); err != nil {
		w.t.Fatal(err)
	}
	return encoded.Bytes()
}

// etcdPut stores values in one transaction.
func etcdPut(client *http.Client, url string, values []etcdValue) error {
	type put struct {
		RequestPut etcdValue `json:"request_put"`
	}
	var puts []put
	for _, value := range values {
		puts = append(puts, put{value})
	}
	for half := range slices.Chunk(puts, putsPerTransaction) {
		request, err := json.Marshal(map[string]any{"success": half})
		if err != nil {
			return err
		}
		response, err := client.Post(url+"/v3/kv/txn", "application/json", bytes.NewReader(request))
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // it is read
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("etcd answers %s: %s: %w", response.Status, answer, err)
		}
	}
	return nil
}
