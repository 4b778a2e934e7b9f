package syncserver_test

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/syncserver"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/hack/ports"
	"github.com/keyward-dev/keyward/test/rogue"
)

// serveSync serves the sync protocol on loopback and returns a client of it.
func serveSync() syncv1.SyncServiceClient {
	GinkgoHelper()
	connection, err := servePort(func(*syncserver.Server) {}).Dial()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(connection.Close)
	return syncv1.NewSyncServiceClient(connection)
}

// servePort serves the sync protocol on loopback, and returns how to connect to it.
func servePort(change func(*syncserver.Server)) *rogue.Client {
	GinkgoHelper()
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
	Expect(err).NotTo(HaveOccurred())
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	Expect(err).NotTo(HaveOccurred())

	address, err := ports.Free()
	Expect(err).NotTo(HaveOccurred())

	running, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	server := &syncserver.Server{
		Address: address, Hub: testenv.Hub, Usage: usage.NewTracker(clock.RealClock{}, testenv.Sessions), Quotas: newAggregator(),
		Client: testenv.Admin, Clock: clock.RealClock{},
		Seals: testenv.Seals(), Imported: testenv.Imported,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil },
	}
	change(server)
	go func() { stopped <- server.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
	})
	Eventually(func() error {
		connection, err := (&net.Dialer{}).DialContext(running, "tcp", address)
		if err == nil {
			err = connection.Close()
		}
		return err
	}).Should(Succeed(), "it listens")
	pool, err := cert.NewPoolFromBytes(certPEM)
	Expect(err).NotTo(HaveOccurred())
	return &rogue.Client{Address: address, TLS: credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "localhost",
		MinVersion: tls.VersionTLS13})}
}

// newAggregator returns an Aggregator without a store: it accepts reports, and does nothing with them.
func newAggregator() *quota.Aggregator {
	return quota.New(quota.Config{Sessions: testenv.Sessions, Clock: clock.RealClock{}, Log: GinkgoLogr, Writes: rate.Inf})
}

var _ = Describe("Sync", func() {
	var (
		w    *testenv.World
		sync syncv1.SyncServiceClient
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		Eventually(testenv.Hub.Groups).Should(ContainElement(w.Namespace + "/acme"))
		sync = serveSync()
		Expect(testenv.Admin.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace,
			Name: "validator"}})).To(Succeed())
	})

	// token returns a real token of the validator's ServiceAccount.
	token := func(ctx context.Context, audience string) string {
		GinkgoHelper()
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
		serviceAccount := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "validator"}}
		Expect(testenv.Admin.SubResource("token").Create(ctx, serviceAccount, request)).To(Succeed())
		return request.Status.Token
	}
	// allow lets the validator validate the named Group.
	allow := func(ctx context.Context, group string) {
		GinkgoHelper()
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "validate-" + group}}
		role.Rules = []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"groups"},
			Verbs: []string{v1alpha1.VerbValidate}, ResourceNames: []string{group},
		}}
		Expect(testenv.Admin.Create(ctx, role)).To(Succeed())
		binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta}
		binding.ResourceVersion = ""
		binding.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}
		binding.Subjects = []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.Namespace, Name: "validator"}}
		Expect(testenv.Admin.Create(ctx, binding)).To(Succeed())
	}
	// first opens a stream and returns all updates of the catch-up.
	first := func(ctx context.Context, authorization string, hello *syncv1.Hello) ([]*syncv1.Update, error) {
		if authorization != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
		}
		stream, err := sync.Sync(ctx)
		if err != nil {
			return nil, err
		}
		_ = stream.Send(&syncv1.SyncRequest{Message: &syncv1.SyncRequest_Hello{Hello: hello}})
		var updates []*syncv1.Update
		for {
			response, err := stream.Recv()
			if err != nil {
				return updates, err
			}
			if response.GetUpdate() == nil {
				continue // a message with the time only
			}
			updates = append(updates, response.GetUpdate())
			if response.GetUpdate().GetCaughtUp() {
				return updates, stream.CloseSend()
			}
		}
	}
	hello := func(groups ...string) *syncv1.Hello {
		return &syncv1.Hello{Instance: "validator-0", Incarnation: "one", Selector: &syncv1.GroupSelector{Groups: groups}}
	}

	DescribeTable("refuses", func(ctx SpecContext, authorization func(context.Context) string, code codes.Code, mention string) {
		_, err := first(ctx, authorization(ctx), hello(w.Namespace+"/acme"))
		Expect(status.Code(err)).To(Equal(code), "%v", err)
		Expect(err.Error()).To(ContainSubstring(mention))
	},
		Entry("no token", func(context.Context) string { return "" }, codes.Unauthenticated, "bearer token"),
		Entry("a token of nobody's", func(context.Context) string { return "Bearer invalid" }, codes.Unauthenticated,
			"audience keyward.dev/sync"),
		Entry("a token for the API server", func(ctx context.Context) string {
			return "Bearer " + token(ctx, "https://kubernetes.default.svc")
		}, codes.Unauthenticated, "audience keyward.dev/sync"),
		Entry("a group that the server may not validate", func(ctx context.Context) string {
			return "Bearer " + token(ctx, v1alpha1.SyncAudience)
		}, codes.PermissionDenied, "bind it to a Role with the verb validate on groups.keyward.dev"),
	)

	DescribeTable("refuses a Hello", func(ctx SpecContext, hello *syncv1.Hello, mention string) {
		_, err := first(ctx, "Bearer "+token(ctx, v1alpha1.SyncAudience), hello)
		Expect(status.Code(err)).To(Equal(codes.InvalidArgument))
		Expect(err.Error()).To(ContainSubstring(mention))
	},
		Entry("without an instance", &syncv1.Hello{}, "instance"),
		Entry("with a group without namespace", hello("acme"), "namespace/name"),
		Entry("without an incarnation", &syncv1.Hello{Instance: "v"}, "incarnation"),
		Entry("with another's account", &syncv1.Hello{Instance: "v", Incarnation: "a/b"}, "incarnation"),
		Entry("with a long incarnation", &syncv1.Hello{Instance: "v", Incarnation: strings.Repeat("x", 27)}, "incarnation"),
		Entry("with a long reason", &syncv1.Hello{Instance: "v", Incarnation: "one", Rejections: &syncv1.Rejections{
			Records: []*syncv1.Rejected{{Id: "k1", Reason: strings.Repeat("x", 257)}}}}, "rejections"),
		Entry("with an empty namespace", &syncv1.Hello{Instance: "v", Selector: &syncv1.GroupSelector{Namespaces: []string{""}}},
			"namespace is empty"),
	)

	It("sends a named group to a server that may validate it", func(ctx SpecContext) {
		allow(ctx, "acme")
		var updates []*syncv1.Update
		Eventually(func() (err error) {
			updates, err = first(ctx, "Bearer "+token(ctx, v1alpha1.SyncAudience), hello(w.Namespace+"/acme"))
			return err
		}).Should(Succeed())
		Expect(updates).To(HaveLen(2))
		Expect(updates[0].GetGroups()[0].Identity()).To(Equal(w.Namespace + "/acme"))
	})

	It("sends the secret of digests to a server with an imported key, and to no other", func(ctx SpecContext) {
		allow(ctx, "acme")
		name := w.Namespace + "/acme"
		sent := func(known ...*syncv1.KnownGroup) (secrets [][]byte, updates []*syncv1.Update) {
			GinkgoHelper()
			Eventually(func() (err error) {
				asks := hello(name)
				asks.Known = known
				updates, err = first(ctx, "Bearer "+token(ctx, v1alpha1.SyncAudience), asks)
				return err
			}).Should(Succeed())
			for _, update := range updates {
				if secret := update.GetDigestSecret(); len(secret) > 0 {
					secrets = append(secrets, secret)
				}
			}
			return secrets, updates
		}
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secrets, _ := sent()
		Expect(secrets).To(BeEmpty(), "it has no use for it")

		Expect(testenv.Admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "legacy"},
			Data:       map[string][]byte{"token": []byte("legacy-platform/" + w.Namespace)},
		})).To(Succeed())
		w.CreateKey(ctx, testenv.Importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "catalogue" })
		key := w.ReconcileUntil(ctx, "catalogue", testenv.Ready)
		keys, err := testenv.Seals().Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		secrets, updates := sent()
		Expect(secrets).To(Equal([][]byte{keys.Digests.Bytes()}))
		var version []byte
		reported := false
		for _, update := range updates {
			reported = reported || len(update.GetDigestSecret()) > 0
			if slices.ContainsFunc(update.GetKeys(), func(k *syncv1.Key) bool { return k.GetId() == key.Status.KeyID }) {
				Expect(reported).To(BeTrue(), "the key comes before what it is recognized by")
			}
			for _, of := range update.GetVersions() {
				version = of.GetVersion()
			}
		}
		// A server that was updated may have the keys from before, and not the secret.
		secrets, updates = sent(&syncv1.KnownGroup{Group: name, Version: version})
		Expect(updates).To(HaveLen(1), "it was sent again what it knew")
		Expect(secrets).To(HaveLen(1))
	})

	It("sends, of all groups, those that a server may validate", func(ctx SpecContext) {
		hidden := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "hidden"}}
		Expect(testenv.Admin.Create(ctx, hidden)).To(Succeed())
		allow(ctx, "acme")
		Eventually(func(g Gomega) {
			updates, err := first(ctx, "Bearer "+token(ctx, v1alpha1.SyncAudience), &syncv1.Hello{Instance: "validator-0", Incarnation: "one"})
			g.Expect(err).NotTo(HaveOccurred())
			var groups []string
			for _, update := range updates {
				for _, group := range update.GetGroups() {
					groups = append(groups, group.Identity())
				}
			}
			g.Expect(groups).To(Equal([]string{w.Namespace + "/acme"}))
		}).Should(Succeed())
	})
})
