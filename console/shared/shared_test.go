package shared_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/console/revocation"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/shared"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("Revocations", func() {
	var (
		namespace string
		clock     *clocktesting.FakeClock
		a, b      *replica
	)
	later := start.Add(time.Minute) // when people sign in: the list begins before that
	BeforeEach(func(ctx SpecContext) {
		namespace, clock = install(ctx), clocktesting.NewFakeClock(start)
		a, b = run(namespace, clock).ready(), run(namespace, clock).ready()
		clock.SetTime(later.Add(-time.Second)) // in the same minute: what was read still holds
	})

	It("refuses at each replica what was ended at one", func(ctx SpecContext) {
		Expect(a.isEnded("ada", "one", later)(Default)).To(BeFalse())
		Expect(b.isEnded("ada", "one", later)(Default)).To(BeFalse())
		Expect(a.EndSession(ctx, "one", later.Add(session.Most))).To(Succeed())
		Expect(a.isEnded("ada", "one", later)(Default)).To(BeTrue(), "here at once")
		Eventually(b.isEnded("ada", "one", later)).Should(BeTrue())
		Expect(b.isEnded("ada", "two", later)(Default)).To(BeFalse())

		Expect(b.EndPerson(ctx, "ada", later)).To(Succeed())
		Eventually(a.isEnded("ada", "two", later)).Should(BeTrue())
		Expect(a.isEnded("ada", "three", later.Add(time.Second))(Default)).To(BeFalse(), "who signs in again")
		Expect(a.isEnded("bob", "four", later)(Default)).To(BeFalse())
	})

	It("keeps what was ended through a restart of all replicas, and ends nothing else", func(ctx SpecContext) {
		Expect(a.EndSession(ctx, "one", later.Add(session.Most))).To(Succeed())
		a.stop()
		b.stop()
		c := run(namespace, clock).ready()
		Expect(c.isEnded("ada", "one", later)(Default)).To(BeTrue())
		Expect(c.isEnded("ada", "two", later)(Default)).To(BeFalse())
		Expect(c.isEnded("ada", "zero", start)(Default)).To(BeTrue(), "it began before the list")
	})

	It("refuses when it could not read the list for a minute, and knows all when it can again", func(ctx SpecContext) {
		a.cable.cut()
		clock.SetTime(start.Add(shared.MostStale - time.Millisecond))
		Expect(a.isEnded("ada", "one", later)(Default)).To(BeFalse(), "a moment changes nothing")
		clock.SetTime(start.Add(shared.MostStale))
		ended, err := a.Revoked(ctx, "ada", "one", later)
		Expect(err).To(MatchError(ContainSubstring("it was last read 1m0s ago")))
		Expect(apierrors.IsServiceUnavailable(err)).To(BeTrue())
		Expect(ended).To(BeFalse())
		Expect(a.EndSession(ctx, "two", later.Add(session.Most))).To(MatchError(ContainSubstring("the cable is cut")))
		Expect(a.isEnded("ada", "two", later)(Default)).To(BeTrue(), "here, though nobody else knows it")

		clock.SetTime(start)
		Expect(b.EndSession(ctx, "one", later.Add(session.Most))).To(Succeed())
		clock.SetTime(start.Add(2 * shared.MostStale))
		a.cable.join()
		a.ready()
		Expect(a.isEnded("ada", "one", later)(Default)).To(BeTrue())
	})

	It("loses nothing when all write at a time", func(ctx SpecContext) {
		const each = 8
		var all sync.WaitGroup
		for name, of := range map[string]*replica{"a": a, "b": b} {
			for n := range each {
				all.Go(func() {
					defer GinkgoRecover()
					Expect(of.EndSession(ctx, fmt.Sprint(name, n), later.Add(session.Most))).To(Succeed())
				})
			}
		}
		all.Wait()
		for _, of := range []*replica{a, b} {
			for n := range each {
				Eventually(of.isEnded("ada", fmt.Sprint("a", n), later)).Should(BeTrue())
				Eventually(of.isEnded("ada", fmt.Sprint("b", n), later)).Should(BeTrue())
			}
		}
	})

	It("ends everything when there is too much to keep", func(ctx SpecContext) {
		now := clock.Now()
		text := fullText(start, now.Add(session.Most))
		edit(ctx, namespace, func(object *corev1.ConfigMap) { object.Data = map[string]string{shared.Key: text} })
		for _, of := range []*replica{a, b} {
			Eventually(of.isEnded("ada", "session-7", now)).Should(BeTrue())
			Expect(of.isEnded("ada", "other", now)(Default)).To(BeFalse())
		}
		Expect(a.EndPerson(ctx, "bob", now)).To(Succeed())
		Eventually(b.isEnded("ada", "other", now)).Should(BeTrue())
		Expect(b.isEnded("ada", "session-7", now)(Default)).To(BeTrue())
		Expect(b.isEnded("ada", "new", later)(Default)).To(BeFalse())
	})

	DescribeTable("refuses everybody while the ConfigMap has what no console writes, and says how to fix it",
		func(ctx SpecContext, change func(*corev1.ConfigMap), says string) {
			edit(ctx, namespace, change)
			Eventually(a.Check).Should(MatchError(And(ContainSubstring(says), ContainSubstring("remove its data"))))
			_, err := a.Revoked(ctx, "ada", "one", later)
			Expect(apierrors.IsServiceUnavailable(err)).To(BeTrue())
			Expect(a.EndSession(ctx, "one", later.Add(session.Most))).To(MatchError(ContainSubstring(says)), "it overwrites nothing")
			Expect(run(namespace, clock).Check()).NotTo(Succeed(), "nor does one that starts")

			edit(ctx, namespace, func(object *corev1.ConfigMap) { object.Data, object.BinaryData = nil, nil })
			a.ready()
			Expect(a.isEnded("ada", "two", clock.Now())(Default)).To(BeTrue(), "nothing that was ended before is good again")
			Expect(a.isEnded("ada", "two", clock.Now().Add(time.Second))(Default)).To(BeFalse())
		},
		Entry("no JSON", func(o *corev1.ConfigMap) { o.Data[shared.Key] = "nothing was ended" }, "not as the console writes it"),
		Entry("an empty text", func(o *corev1.ConfigMap) { o.Data[shared.Key] = "" }, "not as the console writes it"),
		Entry("no beginning", func(o *corev1.ConfigMap) { o.Data[shared.Key] = `{"version":1}` }, "allBefore is missing"),
		Entry("a format of the future", func(o *corev1.ConfigMap) { o.Data[shared.Key] = `{"version":2,"allBefore":1}` }, "its version is 2"),
		Entry("another key", func(o *corev1.ConfigMap) { o.Data = map[string]string{"other": "x"} }, "it has other keys than revocations"),
		Entry("a key more", func(o *corev1.ConfigMap) { o.BinaryData = map[string][]byte{"other": {0}} }, "it has other keys than revocations"),
		Entry("too much", func(o *corev1.ConfigMap) { o.Data[shared.Key] = strings.Repeat(" ", 900_000) }, "it has 900000 bytes"),
	)

	It("refuses while the ConfigMap is gone, and begins a new list when it is back", func(ctx SpecContext) {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		Expect(testenv.Admin.Delete(ctx, object)).To(Succeed())
		Eventually(a.Check).Should(MatchError(Or(ContainSubstring("deleted"), ContainSubstring("not found"))))
		Expect(a.EndSession(ctx, "one", later.Add(session.Most))).To(MatchError(ContainSubstring("not found")), "it creates nothing")
		Expect(testenv.Admin.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})).To(Succeed())
		a.ready()
		Expect(a.isEnded("bob", "two", clock.Now())(Default)).To(BeTrue())
	})

	It("keeps labels, and changes no other object", func(ctx SpecContext) {
		Expect(a.EndSession(ctx, "one", later.Add(session.Most))).To(Succeed())
		var object corev1.ConfigMap
		Expect(testenv.Admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &object)).To(Succeed())
		Expect(object.Labels).To(HaveKeyWithValue("app.kubernetes.io/component", "console"))
		Expect(object.Data).To(HaveLen(1))
		user, _ := testenv.AsUser("system:serviceaccount:" + namespace + ":keyward-console")
		Expect(apierrors.IsForbidden(user.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}}))).To(BeTrue())
		Expect(apierrors.IsForbidden(user.Delete(ctx, &object))).To(BeTrue())
		Expect(apierrors.IsForbidden(user.List(ctx, &corev1.ConfigMapList{}))).To(BeTrue())
		Expect(apierrors.IsForbidden(user.List(ctx, &corev1.SecretList{}))).To(BeTrue())
	})
})

var _ = Describe("New", func() {
	It("requires everything", func() {
		_, err := shared.New(shared.Config{Name: name})
		Expect(err).To(HaveOccurred())
	})
})

// fullText has as many sessions as a list can, session-0 and so on.
func fullText(began, until time.Time) string {
	sessions := make([]string, revocation.Most)
	for n := range sessions {
		hash := sha256.Sum256(fmt.Appendf(nil, "session\x00session-%d", n))
		sessions[n] = fmt.Sprintf("%q:%d", base64.RawURLEncoding.EncodeToString(hash[:]), until.UnixMilli())
	}
	return fmt.Sprintf(`{"version":1,"allBefore":%d,"sessions":{%s}}`, began.UnixMilli(), strings.Join(sessions, ","))
}
