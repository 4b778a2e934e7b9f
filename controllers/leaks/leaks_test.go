package leaks_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/leaks"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

const token = "a token of the scanner 0123456789"

var _ = Describe("A report of a leak", func() {
	var w *testenv.World
	var manager, github *httptest.Server
	var signing *ecdsa.PrivateKey
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		file := filepath.Join(GinkgoT().TempDir(), "token")
		Expect(os.WriteFile(file, []byte(token+"\n"), 0o600)).To(Succeed())
		var err error
		signing, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		Expect(err).NotTo(HaveOccurred())
		der, err := x509.MarshalPKIXPublicKey(signing.Public())
		Expect(err).NotTo(HaveOccurred())
		github = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			key := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			_ = json.NewEncoder(rw).Encode(map[string]any{"public_keys": []any{map[string]any{"key_identifier": "k1", "key": key}}})
		}))
		DeferCleanup(github.Close)
		server := &leaks.Server{
			Client: testenv.Manager.GetClient(), Seals: testenv.Seals(), Clock: w.Clock, TokenFile: file, GitHubKeysURL: github.URL,
		}
		manager = httptest.NewServer(server.Handler())
		DeferCleanup(manager.Close)
	})
	send := func(body string, headers ...string) (int, string) {
		GinkgoHelper()
		request, err := http.NewRequest(http.MethodPost, manager.URL+leaks.Path, strings.NewReader(body))
		Expect(err).NotTo(HaveOccurred())
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		defer func() { _ = response.Body.Close() }()
		content, err := io.ReadAll(response.Body)
		Expect(err).NotTo(HaveOccurred())
		return response.StatusCode, string(content)
	}
	reported := func(text string) string {
		GinkgoHelper()
		status, content := send(fmt.Sprintf(`[{"token":%q,"type":"kw","url":"https://user:pass@git.example/a/.env?q=%s#L1","source":"ci"}]`, text, text),
			"Authorization", "Bearer "+token)
		Expect(status).To(Equal(http.StatusOK), content)
		Expect(content).NotTo(ContainSubstring(text))
		return content
	}
	leaked := func(g Gomega, k *v1alpha1.ApiKey) {
		c := meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionLeaked)
		g.Expect(c).NotTo(BeNil())
		g.Expect(c.Message).To(ContainSubstring("was found in public at https://git.example/a/.env, says ci"))
	}
	create := func(ctx SpecContext, response v1alpha1.LeakResponse, change ...func(*v1alpha1.ApiKey)) *v1alpha1.ApiKey {
		GinkgoHelper()
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.OnLeak = response })
		w.CreateKey(ctx, change...)
		return w.ReconcileUntil(ctx, "web", testenv.Ready)
	}

	It("is noted, with its place, and nothing else is changed by default", func(ctx SpecContext) {
		var logs bytes.Buffer
		ctrl.SetLogger(funcr.New(func(prefix, args string) { logs.WriteString(prefix + args) }, funcr.Options{Verbosity: 10}))
		create(ctx, "")
		text := w.Plaintext(ctx)
		w.Events()
		Expect(reported(text)).To(ContainSubstring(`"true_positive"`))
		key := w.ReconcileUntil(ctx, "web", leaked)
		Expect(key.Status.Leak.Response).To(Equal(v1alpha1.LeakNotify))
		Expect(key.Status.State).To(Equal(v1alpha1.KeyActive))
		events := w.Events()
		Expect(events).To(And(ContainSubstring("Leaked"), ContainSubstring("https://git.example/a/.env"), Not(ContainSubstring(text))))
		content, err := json.Marshal(key)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(content) + logs.String()).NotTo(ContainSubstring(text))
		// Again, it changes nothing.
		w.Clock.Step(time.Minute)
		reported(text)
		again := w.ReconcileUntil(ctx, "web", leaked)
		Expect(again.Status.Leak).To(Equal(key.Status.Leak))
		Expect(w.Events()).To(BeEmpty())
		// When the version ends, so does the condition.
		testenv.Edit(ctx, again, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger, k.Spec.Rotation.Overlap = "now", "0s" })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Leak).To(BeNil())
			g.Expect(meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionLeaked)).To(BeNil())
		})
	})

	It("suspends the key, once", func(ctx SpecContext) {
		create(ctx, v1alpha1.LeakSuspend)
		text := w.Plaintext(ctx)
		reported(text)
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			leaked(g, k)
			g.Expect(k.Status.State).To(Equal(v1alpha1.KeySuspended))
		})
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = nil }) // somebody knows better
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		reported(text)
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.State).To(Equal(v1alpha1.KeyActive)) })
	})

	It("suspends the key, with advice that can be followed", func(ctx SpecContext) {
		create(ctx, v1alpha1.LeakSuspend)
		reported(w.Plaintext(ctx))
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.State).To(Equal(v1alpha1.KeySuspended)) })
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionLeaked).Message).To(ContainSubstring(
			"in one edit, set spec.suspended: false, spec.rotation.overlap: 0s and another spec.rotation.trigger"))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			k.Spec.Suspended, k.Spec.Rotation.Overlap, k.Spec.Rotation.Trigger = ptr.To(false), "0s", "leak"
		})
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.State).To(Equal(v1alpha1.KeyActive))
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[0].State).NotTo(BeElementOf(v1alpha1.VersionActive, v1alpha1.VersionRetiring))
			g.Expect(k.Status.Leak).To(BeNil())
		})
	})

	It("rotates the key, with a short overlap", func(ctx SpecContext) {
		create(ctx, v1alpha1.LeakRotate)
		text := w.Plaintext(ctx)
		reported(text)
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			leaked(g, k)
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetiring))
		})
		first, second := key.Status.Versions[0], key.Status.Versions[1]
		Expect(first.RetiresAt.Sub(second.DeliveredAt.Time)).To(BeNumerically("<=", time.Hour+time.Second))
		Expect(w.Plaintext(ctx)).NotTo(Equal(text))
	})

	It("is acted on again when the successor leaks, with its own place", func(ctx SpecContext) {
		create(ctx, v1alpha1.LeakRotate)
		reported(w.Plaintext(ctx))
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			leaked(g, k)
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetiring))
		})
		w.Clock.Step(time.Minute) // the first version is still in its overlap
		status, content := send(fmt.Sprintf(`[{"token":%q}]`, w.Plaintext(ctx)), "Authorization", "Bearer "+token)
		Expect(status).To(Equal(http.StatusOK), content)
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions).NotTo(BeEmpty())
			last := k.Status.Versions[len(k.Status.Versions)-1]
			g.Expect(last.ID).To(BeEquivalentTo(3))
			g.Expect(last.State).To(Equal(v1alpha1.VersionActive))
		})
		Expect(key.Status.Leak).To(HaveValue(And(HaveField("Version", BeEquivalentTo(2)), HaveField("URL", ""), HaveField("Source", ""),
			HaveField("Response", v1alpha1.LeakRotate))))
		second := key.Status.Versions[len(key.Status.Versions)-2]
		Expect(second.State).To(Equal(v1alpha1.VersionRetiring))
		Expect(second.RetiresAt.Sub(w.Clock.Now())).To(BeNumerically("<=", time.Hour+time.Second))
	})

	It("suspends the key again when the successor leaks", func(ctx SpecContext) {
		create(ctx, v1alpha1.LeakSuspend)
		reported(w.Plaintext(ctx))
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.State).To(Equal(v1alpha1.KeySuspended)) })
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended, k.Spec.Rotation.Trigger = nil, "now" })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetiring))
		})
		reported(w.Plaintext(ctx))
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Leak).To(HaveValue(HaveField("Version", BeEquivalentTo(2))))
			g.Expect(k.Status.State).To(Equal(v1alpha1.KeySuspended))
		})
	})

	It("rotates a key that lives shorter than the overlap", func(ctx SpecContext) {
		create(ctx, v1alpha1.LeakRotate, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "30m" })
		reported(w.Plaintext(ctx))
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetiring))
			g.Expect(k.Status.LastHandledRotateRequest).To(HaveSuffix("-leak1;overlap=30m"))
		})
		Expect(key.Status.Versions[0].RetiresAt.Sub(key.Status.Versions[1].DeliveredAt.Time)).To(BeNumerically("<=", 30*time.Minute+time.Second))
		at, named := grant.RequestTime(key.Status.LastHandledRotateRequest)
		Expect(named).To(BeTrue())
		Expect(at).To(BeTemporally("==", key.Status.Leak.ReportedAt.Time))
	})

	It("revokes the key", func(ctx SpecContext) {
		create(ctx, v1alpha1.LeakRevoke)
		reported(w.Plaintext(ctx))
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.State).To(Equal(v1alpha1.KeyRevoked)) })
	})

	It("recognizes imported keys, also by their hashes", func(ctx SpecContext) {
		text := "legacy-platform/0123456789+" + w.Namespace
		create(ctx, "", testenv.ImportingHash(text))
		digest := keyformat.DigestOf(text)
		status, content := send(`[{"sha256":"`+base64.StdEncoding.EncodeToString(digest[:])+`","url":"https://git.example/a/.env","source":"ci"}]`,
			"Authorization", "Bearer "+token)
		Expect(status).To(Equal(http.StatusOK), content)
		Expect(content).To(ContainSubstring("true_positive"))
		w.ReconcileUntil(ctx, "web", leaked)
	})

	It("is labelled false for texts that no ApiKey has", func() {
		key, err := keyformat.Mint("kw", rand.Reader)
		Expect(err).NotTo(HaveOccurred())
		digest := key.Digest()
		Expect(reported(key.Reveal())).To(And(ContainSubstring(`"false_positive"`), ContainSubstring(base64.StdEncoding.EncodeToString(digest[:]))))
	})

	It("is accepted with GitHub's signature over the body, and not with another", func(ctx SpecContext) {
		create(ctx, "")
		body := fmt.Sprintf(`[{"token":%q,"type":"acme_key","url":"https://git.example/a/.env","source":"content"}]`, w.Plaintext(ctx))
		digest := sha256.Sum256([]byte(body))
		signature, err := ecdsa.SignASN1(rand.Reader, signing, digest[:])
		Expect(err).NotTo(HaveOccurred())
		encoded := base64.StdEncoding.EncodeToString(signature)
		status, content := send(body+" ", "Github-Public-Key-Identifier", "k1", "Github-Public-Key-Signature", encoded)
		Expect(status).To(Equal(http.StatusUnauthorized), content)
		// A token does not make up for a wrong signature.
		status, _ = send(body, "Github-Public-Key-Identifier", "k2", "Github-Public-Key-Signature", encoded, "Authorization", "Bearer "+token)
		Expect(status).To(Equal(http.StatusUnauthorized))
		status, content = send(body, "Github-Public-Key-Identifier", "k1", "Github-Public-Key-Signature", encoded)
		Expect(status).To(Equal(http.StatusOK), content)
		Expect(content).To(And(ContainSubstring(`"token_type":"acme_key"`), ContainSubstring("true_positive")))
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Leak).NotTo(BeNil())
			g.Expect(k.Status.Leak.Source).To(Equal("github"))
		})
	})

	It("is refused without a proof, and if it is too large", func() {
		for _, headers := range [][]string{nil, {"Authorization", "Bearer"}, {"Authorization", "Bearer wrong"}, {"Authorization", token}} {
			status, _ := send(`[{"token":"x"}]`, headers...)
			Expect(status).To(Equal(http.StatusUnauthorized), "%v", headers)
		}
		status, _ := send("["+strings.Repeat(" ", 1<<20)+"]", "Authorization", "Bearer "+token)
		Expect(status).To(Equal(http.StatusRequestEntityTooLarge))
		status, content := send(`{"token":"sk_secret"}`, "Authorization", "Bearer "+token)
		Expect(status).To(Equal(http.StatusBadRequest))
		Expect(content).NotTo(ContainSubstring("sk_secret"))
	})

	It("is limited in a second", func() {
		Eventually(func() int {
			status, _ := send(`[]`, "Authorization", "Bearer wrong")
			return status
		}).WithPolling(time.Millisecond).Should(Equal(http.StatusTooManyRequests))
	})
})
