package v1alpha1

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/webhook/admissionserver"
)

// asked answers what a user may do, or fails.
type asked struct {
	client.Client

	err error
}

func (a asked) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	if _, is := object.(*authorizationv1.SubjectAccessReview); !is {
		return errors.New("it creates something else")
	}
	return a.err // not allowed, without an error
}

// failed is how many reviews of a webhook count as failed, by code.
func failed(t *testing.T, path, code string) float64 {
	t.Helper()
	families, err := metrics.Registry.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "keyward_admission_failures_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			if l := metric.GetLabel(); l[0].GetValue() == code && l[1].GetValue() == path {
				return metric.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no series for %s and %s", path, code)
	return 0
}

// TestUndecidedReviewsAreCounted: a review that the manager cannot decide ends with 500 and is counted, also where the API server
// refuses something to the manager by 403. A refusal, and a message that looks like a failure, are not counted.
func TestUndecidedReviewsAreCounted(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	review := func(t *testing.T, path string, err error) (status *metav1.Status) {
		mux := http.NewServeMux()
		server := admissionserver.Bounded(webhook.NewServer(webhook.Options{WebhookMux: mux}), clock.RealClock{})
		handler := admission.WithValidator(scheme, decided[*v1alpha1.Group](&groups{access: &access{client: asked{err: err}}}))
		server.Register(path, handler)
		group := `{"apiVersion":"keyward.dev/v1alpha1","kind":"Group","metadata":{"name":"a","namespace":"b"},"spec":{"tier":"\"code\":500"}}`
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(
			`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"DELETE","oldObject":`+group+`}}`))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, request)
		var answer admissionv1.AdmissionReview
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.Response == nil || answer.Response.Allowed {
			t.Fatalf("%v: %s", err, recorder.Body)
		}
		return answer.Response.Result
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "authorization.k8s.io", Resource: "subjectaccessreviews"}, "",
		errors.New("the manager's account may not"))
	for name, c := range map[string]struct {
		err    error
		code   int32
		counts float64
	}{
		"refused":                    {nil, http.StatusForbidden, 0},
		"the manager may not ask":    {forbidden, http.StatusInternalServerError, 1},
		"the API server is late":     {context.DeadlineExceeded, http.StatusInternalServerError, 1},
		"the API server is too busy": {apierrors.NewTooManyRequestsError("later"), http.StatusInternalServerError, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := "/" + strings.ReplaceAll(name, " ", "-")
			status := review(t, path, c.err)
			if status.Code != c.code {
				t.Errorf("the code is %d, want %d: %s", status.Code, c.code, status.Message)
			}
			if c.err != nil && strings.Contains(status.Message, c.err.Error()) {
				t.Errorf("the user reads what the API server told the manager: %s", status.Message)
			}
			if got := failed(t, path, "500"); got != c.counts {
				t.Errorf("%v failures are counted, want %v", got, c.counts)
			}
		})
	}
}
