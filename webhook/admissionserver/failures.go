package admissionserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// failures counts what controller-runtime does not: it answers a review that it could not decide with status 200, and says so only in
// the answer.
var failures = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "keyward_admission_failures_total",
	Help: "Admission reviews that this replica could not decide, by the path of the webhook and the code: 503 where too many are in " +
		"progress, 500 where something that the decision needs is missing. The API server refuses what they are about.",
}, []string{"webhook", "code"})

func init() { metrics.Registry.MustRegister(failures) }

// codes of failures that have a series from the start, so that the first failure is an increase.
var codes = []int{http.StatusInternalServerError, http.StatusServiceUnavailable}

func expectFailures(path string) {
	for _, code := range codes {
		failures.WithLabelValues(path, strconv.Itoa(code))
	}
}

// countFailure counts the response if it decides nothing.
func countFailure(path string, response *response) {
	switch code := response.code(); {
	case code == http.StatusServiceUnavailable:
		failures.WithLabelValues(path, strconv.Itoa(code)).Inc()
	case code >= http.StatusInternalServerError: // others have no series of their own: a hook could answer anything
		failures.WithLabelValues(path, strconv.Itoa(http.StatusInternalServerError)).Inc()
	}
}

// code returns the status of the response, or the one of the review in it.
func (r *response) code() int {
	// Nearly all reviews are decided, and need not be parsed. A text in one cannot have this, because its quotes are escaped.
	if r.status != http.StatusOK || !bytes.Contains(r.body, []byte(`"code":5`)) {
		return r.status
	}
	var review struct {
		Response struct {
			Status struct {
				Code int `json:"code"`
			} `json:"status"`
		} `json:"response"`
	}
	if json.Unmarshal(r.body, &review) != nil {
		return r.status
	}
	return max(r.status, review.Response.Status.Code)
}
