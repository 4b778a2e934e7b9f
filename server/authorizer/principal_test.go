package authorizer_test

import (
	"testing"
	"time"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/test/fixture"
)

// principals returns a function that decides an allowed request, and asks for its principal if asks is set.
func principals(t testing.TB, asks bool, options ...authorizer.Option) func() string {
	t.Helper()
	key := fixture.Mint(t)
	i := fixture.Authorizer(t, fixture.Update(key), options...).Integration("test")
	return func() string {
		request := authorizer.Request{ID: "4rmdbrsuhrhvlwgbvmh5dbgqzy"}
		request.Credential = credential.FromText(key.Reveal())
		request.Method, request.Host, request.Path = "GET", "cdn.acme.example", "/a"
		result := i.Decide(t.Context(), &request)
		if !result.Allowed() {
			t.Fatal(result.Code)
		}
		if !asks {
			return ""
		}
		return i.Principal(&result.Decision, request.ID)
	}
}

// TestPrincipalIsForAllowedRequests, and costs no memory without a signer.
func TestPrincipalIsForAllowedRequests(t *testing.T) {
	signer, _, _ := fixture.Signer(t)
	if principals(t, true, authorizer.WithPrincipals(signer))() == "" {
		t.Error("an allowed request has none")
	}
	i := fixture.Authorizer(t, fixture.Update(fixture.Mint(t)), authorizer.WithPrincipals(signer)).Integration("test")
	request := authorizer.Request{}
	request.Method, request.Host, request.Path = "GET", "cdn.acme.example", "/a"
	result := i.Decide(t.Context(), &request)
	if got := i.Principal(&result.Decision, "1"); got != "" || result.Allowed() {
		t.Errorf("%v has %s", result.Code, got)
	}
	without, off := principals(t, false), principals(t, true)
	if more := testing.AllocsPerRun(100, func() { off() }) - testing.AllocsPerRun(100, func() { without() }); more > 0 {
		t.Errorf("%v allocations more", more)
	}
}

// BenchmarkPrincipal compares decisions for which nobody asks for a principal, that have none, and that have one, in turns, by the
// fastest of many short runs of each, because other processes only make runs slower.
func BenchmarkPrincipal(b *testing.B) {
	const rounds, batch = 400, 100
	signer, _, _ := fixture.Signer(b)
	decide := []func() string{principals(b, false), principals(b, true), principals(b, true, authorizer.WithPrincipals(signer))}
	for b.Loop() {
		fastest := []time.Duration{time.Hour, time.Hour, time.Hour}
		for range rounds {
			for i, f := range decide {
				begin := time.Now()
				for range batch {
					f()
				}
				fastest[i] = min(fastest[i], time.Since(begin))
			}
		}
		b.ReportMetric(float64(fastest[1])/float64(fastest[0]), "off/without")
		b.ReportMetric(float64(fastest[2])/float64(fastest[0]), "on/without")
		b.ReportMetric(float64(fastest[2]-fastest[0])/batch, "ns-signature")
	}
}
