package usageapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usageapi"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

var _ = Describe("Usage over time", func() {
	var w *testenv.World
	var manager *httptest.Server
	var group *v1alpha1.Group
	var clk *clocktesting.FakeClock // at noon, so that the day stays the same
	var server *usageapi.Server
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		clk = clocktesting.NewFakeClock(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
		server = &usageapi.Server{Client: testenv.Manager.GetClient(), Reader: testenv.Manager.GetAPIReader(), Clock: clk}
		manager = httptest.NewServer(server.Handler())
		DeferCleanup(manager.Close)
		group = w.CreateGroup(ctx)
		Eventually(func() error {
			return testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(group), &v1alpha1.Group{})
		}).Should(Succeed())
	})
	get := func(token string, query url.Values, headers ...string) (*http.Response, []byte) {
		GinkgoHelper()
		request, err := http.NewRequest(http.MethodGet, manager.URL+adminv1.UsageSeriesPath+"?"+query.Encode(), nil)
		Expect(err).NotTo(HaveOccurred())
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		Expect(err).NotTo(HaveOccurred())
		return response, body
	}
	ask := func(parts ...string) url.Values {
		query := url.Values{"group": {w.Namespace + "/acme"}}
		for i := 0; i < len(parts); i += 2 {
			query.Set(parts[i], parts[i+1])
		}
		return query
	}
	// tokenOf returns the token of a ServiceAccount with rights in the namespace.
	tokenOf := func(ctx SpecContext, name string, resources ...string) string {
		GinkgoHelper()
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
		Expect(testenv.Admin.Create(ctx, sa)).To(Succeed())
		if len(resources) > 0 {
			Expect(testenv.Admin.Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}, Rules: []rbacv1.PolicyRule{{
				APIGroups: []string{"keyward.dev"}, Resources: resources, Verbs: []string{"get"},
			}}})).To(Succeed())
			Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
				Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: w.Namespace, Name: name}},
			})).To(Succeed())
		}
		request := &authenticationv1.TokenRequest{}
		Expect(testenv.Admin.SubResource("token").Create(ctx, sa, request)).To(Succeed())
		return request.Status.Token
	}
	record := func(ctx SpecContext, requests uint64) {
		GinkgoHelper()
		usage := &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		Expect(client.IgnoreAlreadyExists(testenv.Admin.Create(ctx, usage))).To(Succeed())
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(usage), usage)).To(Succeed())
		usage.Status.GroupUID = group.UID
		now := clk.Now()
		usageseries.Record(&usage.Status, now, quotaledger.Schedule{}.At(now), usageseries.Totals{Requests: requests, Bytes: 5000, OverageRequests: 7})
		usageseries.RecordTraffic(&usage.Status, now, quotaledger.Schedule{}.At(now), usageseries.Traffic{
			Refusals: map[string]uint64{"origin_denied": 3}, Origins: map[string]uint64{"https://acme.com": requests},
		})
		usageseries.Touch(&usage.Status, now)
		Expect(testenv.Admin.Status().Update(ctx, usage)).To(Succeed())
	}
	// succeeds waits until the API server knows the rights of a ServiceAccount.
	succeeds := func(token string, query url.Values) {
		GinkgoHelper()
		Eventually(func() int {
			clk.Step(time.Second) // for the limit of requests
			response, _ := get(token, query)
			return response.StatusCode
		}).Should(Equal(http.StatusOK))
	}
	series := func(body []byte) (s adminv1.UsageSeries) {
		GinkgoHelper()
		Expect(json.Unmarshal(body, &s)).To(Succeed(), string(body))
		return s
	}

	It("is for who may get the GroupUsage, as the published schema says", func(ctx SpecContext) {
		reader := tokenOf(ctx, "reader", "groupusages")
		succeeds(reader, ask())
		_, body := get(reader, ask())
		Expect(series(body).Points).To(HaveLen(30), "nothing was used yet")
		Expect(series(body).Total).To(BeZero())

		record(ctx, 40)
		for by, points := range map[string]int{"": 30, "day": 30, "month": 13, "code": 1, "origin": 1} {
			response, body := get(reader, ask("by", by))
			Expect(response.StatusCode).To(Equal(http.StatusOK), string(body))
			Expect(response.Header.Get("Content-Type")).To(Equal("application/json"))
			Expect(series(body).Points).To(HaveLen(points))
			Expect(conforms(body)).To(Succeed(), string(body))
		}
		_, body = get(reader, ask("by", "month", "from", "2026-11", "to", "2026-11"))
		Expect(series(body).Total).To(Equal(adminv1.UsageAmounts{Requests: 40, Bytes: 5000, Refused: 3, OverageRequests: 7}))
		Expect(series(body).UpdatedAt).To(HaveValue(BeTemporally("==", clk.Now())))
	})

	It("is for nobody else, who learns nothing of which Groups there are", func(ctx SpecContext) {
		record(ctx, 40)
		response, body := get("", ask())
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))
		Expect(response.Header.Get("WWW-Authenticate")).To(Equal("Bearer"))
		Expect(string(body)).To(ContainSubstring("kubectl create token"))
		response, _ = get("a made up token", ask())
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))

		stranger := tokenOf(ctx, "stranger", "groups")
		for _, name := range []string{"acme", "no-such-group"} {
			response, body = get(stranger, ask("group", w.Namespace+"/"+name))
			Expect(response.StatusCode).To(Equal(http.StatusForbidden))
			Expect(strings.ReplaceAll(string(body), name, "")).To(ContainSubstring("may not get groupusages.keyward.dev"))
		}
		// A token for another audience is none of this cluster's API.
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "stranger"}}
		other := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{v1alpha1.SyncAudience}}}
		Expect(testenv.Admin.SubResource("token").Create(ctx, sa, other)).To(Succeed())
		response, _ = get(other.Status.Token, ask())
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))
	})

	It("stops at once when somebody guesses tokens, and not for others", func(ctx SpecContext) {
		reader := tokenOf(ctx, "reader", "groupusages")
		succeeds(reader, ask())
		last := 0
		for i := range 40 {
			response, _ := get(fmt.Sprint("guess ", i), ask())
			last = response.StatusCode
		}
		Expect(last).To(Equal(http.StatusTooManyRequests))
		response, _ := get(reader, ask())
		Expect(response.StatusCode).To(Equal(http.StatusOK), "a token that was accepted before is still accepted")
	})

	It("is not sent again while it is the same", func(ctx SpecContext) {
		record(ctx, 40)
		reader := tokenOf(ctx, "reader", "groupusages")
		succeeds(reader, ask())
		first, _ := get(reader, ask())
		tag := first.Header.Get("ETag")
		for _, header := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			response, body := get(reader, ask(), "If-None-Match", header)
			Expect(response.StatusCode).To(Equal(http.StatusNotModified), header)
			Expect(body).To(BeEmpty())
			Expect(response.Header.Get("ETag")).To(Equal(tag))
		}
		record(ctx, 41)
		response, body := get(reader, ask(), "If-None-Match", tag)
		Expect(response.StatusCode).To(Equal(http.StatusOK))
		Expect(series(body).Total.Requests).To(Equal(int64(41)))
	})

	It("shows the days of a key to who may get the ApiKey, too", func(ctx SpecContext) {
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		key.Status.Usage = &v1alpha1.KeyRequests{Period: "2026-11", Requests: ptr.To[int64](9), Days: &v1alpha1.KeyDays{Last: "2026-11-21", Requests: []int64{4, 5}}}
		Expect(testenv.Admin.Status().Update(ctx, key)).To(Succeed())
		w.WaitForCache(ctx, key)
		reader, both := tokenOf(ctx, "reader", "groupusages"), tokenOf(ctx, "both", "groupusages", "apikeys")
		succeeds(both, ask("key", key.Status.KeyID))
		succeeds(reader, ask())
		_, body := get(both, ask("key", key.Status.KeyID))
		Expect(conforms(body)).To(Succeed(), string(body))
		Expect(series(body).Total.Requests).To(Equal(int64(9)))
		Expect(series(body).Key).To(Equal(key.Status.KeyID))
		response, body := get(reader, ask("key", key.Status.KeyID))
		Expect(response.StatusCode).To(Equal(http.StatusForbidden))
		Expect(string(body)).To(ContainSubstring("apikeys.keyward.dev"))
		response, _ = get(both, ask("key", "knobody"))
		Expect(response.StatusCode).To(Equal(http.StatusNotFound))
	})

	It("is by hour where the store keeps hours, for who may get the GroupUsage", func(ctx SpecContext) {
		reader, stranger := tokenOf(ctx, "reader", "groupusages"), tokenOf(ctx, "stranger", "groups")
		succeeds(reader, ask())
		kept := &hours{used: map[usageseries.Hour]usageseries.HourUse{}}
		server.Hours = kept
		created := usageseries.HourOf(group.CreationTimestamp.Time)
		clk.SetTime(created.Begin().Add(5*time.Hour + time.Minute)) // of the real one, which the API server sets
		kept.used[created+5] = usageseries.HourUse{Requests: 40, Bytes: 5000}
		kept.used[created+1] = usageseries.HourUse{Requests: 2}
		kept.used[created-1] = usageseries.HourUse{Requests: 1000} // of an earlier Group

		response, body := get(reader, ask("by", "hour"))
		Expect(response.StatusCode).To(Equal(http.StatusOK), string(body))
		Expect(conforms(body)).To(Succeed(), string(body))
		Expect(kept.asked).To(Equal(w.Namespace + "/acme"))
		got := series(body)
		Expect(got.Points).To(HaveLen(24))
		Expect(got.Points[23]).To(Equal(adminv1.UsagePoint{
			Hour: (created + 5).Begin().Format("2006-01-02T15:04Z"), UsageAmounts: adminv1.UsageAmounts{Requests: 40, Bytes: 5000},
		}))
		Expect(got.Total).To(Equal(adminv1.UsageAmounts{Requests: 42, Bytes: 5000}))
		one := (created + 1).Begin().Format("2006-01-02T15:04Z")
		_, body = get(reader, ask("by", "hour", "from", one, "to", one))
		Expect(series(body).Total.Requests).To(Equal(int64(2)))

		kept.asked = ""
		response, _ = get(stranger, ask("by", "hour"))
		Expect(response.StatusCode).To(Equal(http.StatusForbidden))
		response, _ = get("", ask("by", "hour"))
		Expect(response.StatusCode).To(Equal(http.StatusUnauthorized))
		Expect(kept.asked).To(BeEmpty(), "nothing is read for who has no right")

		kept.err = errors.New("dial tcp redis.internal:6379: refused")
		response, body = get(reader, ask("by", "hour"))
		Expect(response.StatusCode).To(Equal(http.StatusServiceUnavailable))
		Expect(response.Header.Get("Retry-After")).NotTo(BeEmpty())
		Expect(string(body)).To(ContainSubstring("the usage store cannot be read"))
		Expect(string(body)).NotTo(ContainSubstring("redis.internal"))
	})

	It("is not that of an earlier Group with the name", func(ctx SpecContext) {
		group.UID = "another"
		record(ctx, 40)
		reader := tokenOf(ctx, "reader", "groupusages")
		succeeds(reader, ask())
		_, body := get(reader, ask())
		Expect(series(body).Total).To(BeZero())
	})

	It("names what is wrong, and how to fix it", func(ctx SpecContext) {
		reader := tokenOf(ctx, "reader", "groupusages")
		succeeds(reader, ask())
		for _, c := range []struct {
			query  url.Values
			status int
			want   string
		}{
			{url.Values{}, 400, "group: write the namespace and the name"},
			{ask("group", "acme"), 400, "group: write"},
			{ask("group", "../secrets/x"), 400, "group: write"},
			{ask("by", "minute"), 400, "by: write one of day, month, code, origin, hour"},
			{ask("by", "hour"), 400, "set --usage-store, or write day"},
			{ask("by", "hour", "from", "2026-11"), 400, "from: write an hour"},
			{ask("by", "hour", "key", "k1"), 400, "of a key only days are kept"},
			{ask("from", "yesterday"), 400, "from: write a day"},
			{ask("key", "k1", "by", "month"), 400, "of a key only days are kept"},
			{ask("key", ""), 400, "key: write the id"},
			{ask("limit", "5"), 400, "no such parameter"},
			{url.Values{"group": {"a/b", "c/d"}}, 400, "group: write it once"},
			{ask("from", strings.Repeat("1", 1100)), 414, "at most 1024"},
			{ask("group", w.Namespace+"/gone"), 404, "there is no Group"},
		} {
			response, body := get(reader, c.query)
			var problem adminv1.UsageProblem
			Expect(json.Unmarshal(body, &problem)).To(Succeed())
			Expect(response.StatusCode).To(Equal(c.status), string(body))
			Expect(problem.Status).To(Equal(c.status))
			Expect(problem.Detail).To(ContainSubstring(c.want))
			Expect(response.Header.Get("Content-Type")).To(Equal("application/problem+json"))
		}
		response, err := http.Post(manager.URL+adminv1.UsageSeriesPath, "text/plain", nil)
		Expect(err).NotTo(HaveOccurred())
		_ = response.Body.Close()
		Expect(response.StatusCode).To(Equal(http.StatusMethodNotAllowed))
	}, SpecTimeout(time.Minute))
})

// hours stands in for a store that keeps hours.
type hours struct {
	used  map[usageseries.Hour]usageseries.HourUse
	err   error
	asked string
}

func (h *hours) Hours(_ context.Context, group string) (map[usageseries.Hour]usageseries.HourUse, error) {
	h.asked = group
	return h.used, h.err
}

// conforms returns an error if a document is not as docs/reference/usage-series.schema.json says.
func conforms(body []byte) error {
	text, err := os.ReadFile("../../docs/reference/usage-series.schema.json")
	if err != nil {
		return err
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		return err
	}
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		return err
	}
	return conform(schema, schema, document, "$")
}
