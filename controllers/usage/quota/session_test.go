package quota_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestReportsForOtherGroupsAreRefused: reports for groups that a server does not serve are refused, and neither the answers nor
// the log lines accumulate.
func TestReportsForOtherGroupsAreRefused(t *testing.T) {
	lines := 0
	log := funcr.New(func(string, string) { lines++ }, funcr.Options{})
	a := quota.New(quota.Config{Sessions: session.NewRegistry(clock.RealClock{}, 0), Clock: clock.RealClock{}, Log: log, Writes: rate.Inf})
	session := connect(a, "rogue", "life", func(string) (bool, bool) { return false, true })
	for i := range 20 {
		uses := &syncv1.QuotaReport{}
		for j := range 5000 {
			uses.Groups = append(uses.Groups, &syncv1.GroupUse{Group: fmt.Sprintf("others/%d-%d", i, j),
				Period: quotaledger.MonthOf(clock.RealClock{}.Now()).String(), Requests: 1})
		}
		session.Report(uses)
	}
	refusals := 0
	for {
		message := session.Take()
		if len(message.GetGroups()) == 0 {
			break
		}
		refusals += len(message.GetGroups())
	}
	if refusals > 10_000 || refusals == 0 || lines > 200 {
		t.Errorf("%d refusals wait, and %d lines were logged", refusals, lines)
	}
}

// TestServerNamesAreBoundToIdentity: and they fit into a status with the incarnation appended.
func TestServerNamesAreBoundToIdentity(t *testing.T) {
	seen := map[string]bool{}
	for _, instance := range []string{"v", strings.Repeat("x", 252), strings.Repeat("x", 253)} {
		for _, identity := range []string{"a", "b"} {
			name := session.ID{Instance: instance, Identity: identity}.Name()
			if seen[name] || len(name+"/")+26 > 280 {
				t.Errorf("%s is the name of two, or too long", name)
			}
			seen[name] = true
		}
	}
}
