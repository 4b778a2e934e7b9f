package cluster_test

import (
	"cmp"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
)

// The bounds of one page of a list of keys.
const (
	mostRequests   = 10
	mostPerRequest = 100
	mostNames      = 500 // per request that is for names alone
)

// lists are the requests for lists of keys that were sent.
type lists struct {
	mu     sync.Mutex
	limits []int // of those for keys
	names  []int // of those for names alone
}

// saw notes a request, if it is one for a list of keys.
func (l *lists) saw(r *http.Request) {
	if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/apikeys") {
		return
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit")) // 0: without one
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
		l.names = append(l.names, limit)
		return
	}
	l.limits = append(l.limits, limit)
}

// take returns the limits of the requests since the last call.
func (l *lists) take() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	limits := l.limits
	l.limits = nil
	return limits
}

// searched fails the test unless the requests for one page of a search are within the bounds. It returns how many were for names.
func (l *lists) searched(t Gomega) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Expect(len(l.names)).To(BeNumerically("<=", mostRequests))
	t.Expect(len(l.limits)).To(BeNumerically("<=", len(l.names)), "a part is read once more at most")
	for _, limit := range append(l.names, l.limits...) {
		t.Expect(limit).To(And(BeNumerically(">", 0), BeNumerically("<=", mostNames)))
	}
	names := len(l.names)
	l.names, l.limits = nil, nil
	return names
}

// bounded fails the test unless the requests for one page are within the bounds.
func (l *lists) bounded(t Gomega) []int {
	limits := l.take()
	t.Expect(len(limits)).To(BeNumerically("<=", mostRequests))
	for _, limit := range limits {
		t.Expect(limit).To(And(BeNumerically(">", 0), BeNumerically("<=", mostPerRequest)))
	}
	return limits
}

type watched struct {
	http.RoundTripper

	lists *lists
}

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	w.lists.saw(r)
	return w.RoundTripper.RoundTrip(r)
}

var _ = Describe("A list of keys", func() {
	It("asks the API server for a bounded part at a time", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		for i := range 220 {
			w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = fmt.Sprintf("key-%03d", i) })
		}
		join(ctx, w, role.Viewer)
		sent := &lists{}
		config := rest.CopyConfig(testenv.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: w.Namespace + ":" + string(role.Viewer), Groups: []string{"system:authenticated"}}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return watched{next, sent} })
		desk, err := cluster.New(person.New("viewer", nil, config), cluster.Options{Now: w.Clock.Now})
		Expect(err).NotTo(HaveOccurred())

		first, err := desk.Keys(ctx, acme(w), web.ListQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(first.Keys).To(HaveLen(100))
		Expect(sent.take()).To(Equal([]int{100}))
		second, err := desk.Keys(ctx, acme(w), queryOf(first.Next))
		Expect(err).NotTo(HaveOccurred())
		Expect(second.Keys).To(HaveLen(100))
		Expect(sent.take()).To(Equal([]int{100}))

		_, err = desk.Keys(ctx, acme(w), web.ListQuery{Order: "newest"})
		Expect(err).NotTo(HaveOccurred())
		Expect(sent.take()).To(Equal([]int{250}))

		found, err := desk.Keys(ctx, acme(w), web.ListQuery{Search: "key-21"})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Keys).To(HaveLen(10))
		Expect(sent.searched(NewWithT(GinkgoT()))).To(Equal(1))
		found, err = desk.Keys(ctx, acme(w), web.ListQuery{Search: "key-1"})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Keys).To(HaveLen(100))
		Expect(sent.searched(NewWithT(GinkgoT()))).To(Equal(1))
		found, err = desk.Keys(ctx, acme(w), web.ListQuery{Search: "key-"})
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Keys).To(HaveLen(100))
		Expect(found.Keys[99].Name).To(Equal("key-099"))
		found, err = desk.Keys(ctx, acme(w), queryOf(found.Next))
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Keys[0].Name).To(Equal("key-100"))
		found, err = desk.Keys(ctx, acme(w), queryOf(found.Next))
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Keys).To(HaveLen(20))
		Expect(found.Next).To(BeEmpty())
		sent.searched(NewWithT(GinkgoT()))
	})
})

// TestManyKeys looks for a key among 5,000 of a Group. An API server that has nothing else says how many objects it was asked for.
func TestManyKeys(t *testing.T) {
	const all = 5_000
	g := NewWithT(t)
	keys := make([]v1alpha1.ApiKey, all)
	for i := range keys {
		keys[i].Namespace, keys[i].Name, keys[i].Spec.GroupRef.Name = "team", fmt.Sprintf("key-%04d", i), "acme"
	}
	desk, sent := deskBefore(t, keys)
	group := place.Group{Namespace: "team", Name: "acme"}

	for search, pages := range map[string]int{"": 50, "key-0042": 1, "key-4999": 1, "no-such": 1, "key-1": 11} {
		var names []string
		query, seen := web.ListQuery{Search: search}, 0
		for {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			shown, err := desk.Keys(t.Context(), group, query)
			runtime.ReadMemStats(&after)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(shown.Keys)).To(BeNumerically("<=", 100))
			g.Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<", 64<<20), "with what the server of the test allocates")
			if search == "" {
				sent.bounded(g)
			} else {
				sent.searched(g)
			}
			for _, key := range shown.Keys {
				names = append(names, key.Name)
			}
			if seen++; shown.Next == "" {
				break
			}
			link, err := url.Parse(shown.Next)
			g.Expect(err).NotTo(HaveOccurred())
			query = web.ListQuery{Search: link.Query().Get("search"), After: link.Query().Get("after")}
		}
		g.Expect(seen).To(BeNumerically("<=", pages), "%q", search)
		switch search {
		case "":
			g.Expect(names).To(HaveLen(all))
		case "key-1":
			g.Expect(names).To(HaveLen(1000))
			g.Expect(slices.IsSorted(names)).To(BeTrue())
		case "no-such":
			g.Expect(names).To(BeEmpty())
		default:
			g.Expect(names).To(Equal([]string{search}))
		}
	}
}

// TestOtherAnswers has API servers that cannot do what is asked for: keys are found all the same.
func TestOtherAnswers(t *testing.T) {
	var keys []v1alpha1.ApiKey
	for i := range 300 {
		key := v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: fmt.Sprintf("key-%04d", i)}}
		key.Spec.GroupRef.Name = []string{"acme", "acme", "other"}[i%3]
		keys = append(keys, key)
	}
	older := func(to http.ResponseWriter, r *http.Request) bool { // its CRD has no selectable fields
		if r.URL.Query().Get("fieldSelector") == "" {
			return false
		}
		to.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(to).Encode(&metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
			Reason: metav1.StatusReasonBadRequest, Code: http.StatusBadRequest, Message: "field label not supported: spec.groupRef.name"})
		return true
	}
	large := func(to http.ResponseWriter, r *http.Request) bool { // more than 30 objects are too many bytes
		if limit, _ := strconv.Atoi(r.URL.Query().Get("limit")); limit <= 30 {
			return false
		}
		to.Header().Set("Content-Length", strconv.Itoa(40<<20))
		return true
	}
	for name, instead := range map[string]func(http.ResponseWriter, *http.Request) bool{"older": older, "large": large} {
		for _, query := range []web.ListQuery{{}, {Search: "key-"}, {Search: "key-01"}, {Order: "newest"}, {Order: "newest", Search: "key-01"}} {
			desk, _ := deskBefore(t, keys, instead)
			found := map[string]int{}
			for at := query; ; {
				shown, err := desk.Keys(t.Context(), place.Group{Namespace: "team", Name: "acme"}, at)
				if err != nil {
					t.Fatalf("%s, %+v: %v", name, at, err)
				}
				for _, key := range shown.Keys {
					found[key.Name]++
				}
				if shown.Next == "" {
					break
				}
				link, err := url.Parse(shown.Next)
				if err != nil {
					t.Fatal(err)
				}
				at.After = link.Query().Get("after")
			}
			want := 0
			for _, key := range keys {
				if key.Spec.GroupRef.Name == "acme" && strings.Contains(key.Name, query.Search) {
					want++
					if found[key.Name] != 1 {
						t.Errorf("%s, %+v: %s was found %d times", name, query, key.Name, found[key.Name])
					}
				}
			}
			if len(found) != want {
				t.Errorf("%s, %+v: %d keys, want %d", name, query, len(found), want)
			}
		}
	}
}

// deskBefore is the desk of somebody before an API server that has the Group team/acme with these keys and nothing else, and allows nothing. It selects
// keys by their Group. Instead may answer a list in its place.
func deskBefore(t *testing.T, all []v1alpha1.ApiKey, instead ...func(http.ResponseWriter, *http.Request) bool) (*cluster.Desk, *lists) {
	t.Helper()
	sent := &lists{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		sent.saw(r)
		to.Header().Set("Content-Type", "application/json")
		keys := all
		if group, selected := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "spec.groupRef.name="); selected {
			keys = slices.DeleteFunc(slices.Clone(all), func(k v1alpha1.ApiKey) bool { return k.Spec.GroupRef.Name != group })
		}
		if strings.HasSuffix(r.URL.Path, "/apikeys") && len(instead) > 0 && instead[0](to, r) {
			return
		}
		var answer any
		switch {
		case strings.HasSuffix(r.URL.Path, "/groups/acme"):
			answer = &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "acme"}}
		case strings.HasSuffix(r.URL.Path, "/apikeys"):
			list := part(keys, r)
			if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList") {
				list.APIVersion, list.Kind = "meta.k8s.io/v1", "PartialObjectMetadataList"
			}
			answer = list
		case strings.Contains(r.URL.Path, "/apikeys/"):
			answer = &keys[slices.IndexFunc(keys, func(k v1alpha1.ApiKey) bool { return strings.HasSuffix(r.URL.Path, "/"+k.Name) })]
		default:
			answer = &authorizationv1.SelfSubjectAccessReview{}
			to.WriteHeader(http.StatusCreated)
		}
		_ = json.NewEncoder(to).Encode(answer) // who has gone reads nothing
	}))
	t.Cleanup(server.Close)
	desk, err := cluster.New(person.New("jane", nil, &rest.Config{
		Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})},
	}), cluster.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return desk, sent
}

// TestManyKeysInOrder puts 6,000 keys into an order: each page looks at 5,000 of them, in parts, and says that these are not all.
func TestManyKeysInOrder(t *testing.T) {
	g := NewWithT(t)
	desk, sent := deskBefore(t, manyKeys(6000))
	group, query := place.Group{Namespace: "team", Name: "acme"}, web.ListQuery{Order: "newest"}
	for want := 4999; want > 4700; want -= 100 {
		shown, err := desk.Keys(t.Context(), group, query)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(shown.Some).To(BeTrue())
		g.Expect(shown.Keys).To(HaveLen(100))
		g.Expect(shown.Keys[0].Name).To(Equal(fmt.Sprintf("key-%04d", want)))
		limits := sent.take()
		g.Expect(limits).To(And(HaveLen(20), HaveEach(250)))
		link, err := url.Parse(shown.Next)
		g.Expect(err).NotTo(HaveOccurred())
		query = web.ListQuery{After: link.Query().Get("after"), Order: link.Query().Get("order")}
		g.Expect(query.Order).To(Equal("newest"))
	}
	_, err := desk.Keys(t.Context(), group, web.ListQuery{Order: "newest", After: "eyJuIjoidGVhbSJ9"})
	g.Expect(err).To(MatchError(web.ErrNotFound))
}

// TestAnOrderThatThereIsNot is that of the names, on the next page, too.
func TestAnOrderThatThereIsNot(t *testing.T) {
	g := NewWithT(t)
	desk, _ := deskBefore(t, manyKeys(150))
	shown, err := desk.Keys(t.Context(), place.Group{Namespace: "team", Name: "acme"}, web.ListQuery{Order: "no-such"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(shown.Keys).To(HaveLen(100))
	g.Expect(shown.Keys[0].Name).To(Equal("key-0000"))
	g.Expect(shown.Orders.Of[0]).To(And(HaveField("Value", "name"), HaveField("Chosen", true)))
	g.Expect(shown.Next).To(And(ContainSubstring("after="), Not(ContainSubstring("no-such"))))
}

// TestWhatNoNameCanContainIsNotLookedFor: the page is as it was chosen, without a list.
func TestWhatNoNameCanContainIsNotLookedFor(t *testing.T) {
	g := NewWithT(t)
	desk, sent := deskBefore(t, manyKeys(3))
	group := place.Group{Namespace: "team", Name: "acme"}
	for _, search := range []string{"\x00", "\xff", "a_b", "a b", "schlüssel", strings.Repeat("a", 254)} {
		for _, order := range []string{"", "newest"} {
			shown, err := desk.Keys(t.Context(), group, web.ListQuery{Search: search, Order: order})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(shown.Keys).To(BeEmpty())
			g.Expect(shown.Orders.Of).To(ContainElement(And(HaveField("Value", cmp.Or(order, "name")), HaveField("Chosen", true))))
			g.Expect(sent.take()).To(BeEmpty(), "%q", search)
		}
	}
	shown, err := desk.Keys(t.Context(), group, web.ListQuery{Search: " KEY-0001 "})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(shown.Keys).To(HaveLen(1))
}

func manyKeys(n int) []v1alpha1.ApiKey {
	keys := make([]v1alpha1.ApiKey, n)
	for i := range keys {
		keys[i].Namespace, keys[i].Name, keys[i].Spec.GroupRef.Name = "team", fmt.Sprintf("key-%04d", i), "acme"
		keys[i].CreationTimestamp = metav1.NewTime(time.Unix(int64(i), 0))
	}
	return keys
}

// part is what an API server answers to a request for a part of a list.
func part(keys []v1alpha1.ApiKey, r *http.Request) *v1alpha1.ApiKeyList {
	from, _ := strconv.Atoi(r.URL.Query().Get("continue")) // none is the beginning
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	to := len(keys)
	if limit > 0 {
		to = min(to, from+limit)
	}
	list := &v1alpha1.ApiKeyList{Items: keys[from:to]}
	if to < len(keys) {
		list.Continue = strconv.Itoa(to)
	}
	return list
}
