package keyrequest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// facts are those of a request that waits for a person.
func facts() *keyrequest.Facts {
	group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme", UID: "group"}}
	group.Spec.Projects = []v1alpha1.Project{{Name: "marketing"}, {Name: "product"}}
	group.Spec.KeyPolicy = v1alpha1.KeyPolicy{Requests: v1alpha1.RequestsManual, MaxLifetime: "90d"}
	group.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web", UID: "request", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
		Annotations: map[string]string{v1alpha1.AnnotationCreatedBy: "jane"},
	}}
	request.Spec = v1alpha1.KeyRequestSpec{
		GroupRef: v1alpha1.GroupReference{Namespace: "acme", Name: "acme"}, Projects: []v1alpha1.ProjectName{"marketing"},
		Permissions: []v1alpha1.PermissionName{"read"}, UseCase: "The shop", Lifetime: "30d",
	}
	return &keyrequest.Facts{Request: request, Group: group, Review: keyrequest.NewReview(request, group), Now: now}
}

// decide stamps a decision, as admission does.
func decide(f *keyrequest.Facts, verdicts ...v1alpha1.Verdict) {
	for _, verdict := range verdicts {
		f.Review.Spec.Decision = &v1alpha1.Decision{Verdict: verdict, Reason: "because"}
		f.Review.Spec.Decided = append(f.Review.Spec.Decided, v1alpha1.Decided{Verdict: verdict, Reason: "because", By: "olga", At: metav1.NewTime(now)})
	}
}

// mint creates the ApiKey, as the API server does.
func mint(f *keyrequest.Facts) {
	key, problem := keyrequest.Key(f.Review, f.Group, f.Now)
	if problem == nil {
		key.UID, f.Key = "key", key
	}
}

func TestNext(t *testing.T) {
	approve := func(f *keyrequest.Facts) { decide(f, v1alpha1.VerdictApproved) }
	withdraw := func(f *keyrequest.Facts) { decide(f, v1alpha1.VerdictApproved, v1alpha1.VerdictWithdrawn) }
	issue := func(f *keyrequest.Facts) {
		approve(f)
		mint(f)
		f.Request.Status.State, f.Request.Status.Key = v1alpha1.KeyRequestIssued, &v1alpha1.IssuedKey{Name: "web", UID: "key"}
	}
	off := func(f *keyrequest.Facts) { f.Group.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff }
	for name, test := range map[string]struct {
		change []func(*keyrequest.Facts)
		action keyrequest.Action
		state  v1alpha1.KeyRequestState
		reason string
	}{
		"new":             {[]func(*keyrequest.Facts){func(f *keyrequest.Facts) { f.Review = nil }}, keyrequest.CreateReview, "Pending", v1alpha1.ReasonUndecided},
		"waits":           {nil, keyrequest.Nothing, "Pending", v1alpha1.ReasonUndecided},
		"beyond":          {[]func(*keyrequest.Facts){func(f *keyrequest.Facts) { f.Review, f.Beyond = nil, true }}, keyrequest.Nothing, "Pending", v1alpha1.ReasonTooManyRequests},
		"not recorded":    {[]func(*keyrequest.Facts){approve, func(f *keyrequest.Facts) { f.Review.Spec.Decided = nil }}, keyrequest.Nothing, "Pending", v1alpha1.ReasonUndecided},
		"approved":        {[]func(*keyrequest.Facts){approve}, keyrequest.Mint, "Approved", v1alpha1.ReasonApproved},
		"after a crash":   {[]func(*keyrequest.Facts){approve, mint}, keyrequest.Nothing, "Issued", v1alpha1.ReasonReady},
		"issued":          {[]func(*keyrequest.Facts){issue}, keyrequest.Nothing, "Issued", v1alpha1.ReasonReady},
		"off":             {[]func(*keyrequest.Facts){off}, keyrequest.Nothing, "Pending", v1alpha1.ReasonGroupNotFound},
		"approved, off":   {[]func(*keyrequest.Facts){approve, off}, keyrequest.Nothing, "Approved", v1alpha1.ReasonGroupNotFound},
		"issued, off":     {[]func(*keyrequest.Facts){issue, off}, keyrequest.Nothing, "Issued", v1alpha1.ReasonReady},
		"refused":         {[]func(*keyrequest.Facts){func(f *keyrequest.Facts) { decide(f, v1alpha1.VerdictRefused) }}, keyrequest.Nothing, "Refused", v1alpha1.ReasonRequestRefused},
		"withdrawn early": {[]func(*keyrequest.Facts){withdraw}, keyrequest.Nothing, "Withdrawn", v1alpha1.ReasonApprovalWithdrawn},
		"withdrawn":       {[]func(*keyrequest.Facts){issue, func(f *keyrequest.Facts) { decide(f, v1alpha1.VerdictWithdrawn) }}, keyrequest.Revoke, "Withdrawn", v1alpha1.ReasonApprovalWithdrawn},
		"withdrawn, of another": {[]func(*keyrequest.Facts){withdraw, func(f *keyrequest.Facts) {
			f.Key = &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "other"}}
		}}, keyrequest.Nothing, "Withdrawn", v1alpha1.ReasonApprovalWithdrawn},
		"revoked": {[]func(*keyrequest.Facts){issue, func(f *keyrequest.Facts) { decide(f, v1alpha1.VerdictWithdrawn) }, func(f *keyrequest.Facts) {
			f.Key.Spec.Revoked = ptr.To(true)
		}}, keyrequest.Nothing, "Withdrawn", v1alpha1.ReasonApprovalWithdrawn},
		"key deleted": {[]func(*keyrequest.Facts){issue, func(f *keyrequest.Facts) { f.Key = nil }}, keyrequest.Nothing, "Issued", v1alpha1.ReasonKeyDeleted},
		"name taken": {[]func(*keyrequest.Facts){approve, func(f *keyrequest.Facts) {
			f.Key = &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "other"}}
		}}, keyrequest.Nothing, "Approved", v1alpha1.ReasonNameTaken},
		"name of an earlier request": {[]func(*keyrequest.Facts){approve, mint, func(f *keyrequest.Facts) {
			f.Key.OwnerReferences[0].UID = "earlier"
		}}, keyrequest.Nothing, "Approved", v1alpha1.ReasonNameTaken},
		"31 days":           {[]func(*keyrequest.Facts){func(f *keyrequest.Facts) { f.Now = now.Add(31 * 24 * time.Hour) }}, keyrequest.DeleteReview, "Expired", v1alpha1.ReasonRequestExpired},
		"31 days, approved": {[]func(*keyrequest.Facts){approve, func(f *keyrequest.Facts) { f.Now = now.Add(31 * 24 * time.Hour) }}, keyrequest.Mint, "Approved", v1alpha1.ReasonApproved},
		"deleted":           {[]func(*keyrequest.Facts){func(f *keyrequest.Facts) { f.Request = nil }}, keyrequest.DeleteReview, "", ""},
		"deleted with key":  {[]func(*keyrequest.Facts){issue, func(f *keyrequest.Facts) { f.Request = nil }}, keyrequest.DeleteReview, "", ""},
		"deleted without":   {[]func(*keyrequest.Facts){issue, func(f *keyrequest.Facts) { f.Request, f.Key.OwnerReferences = nil, nil }}, keyrequest.Revoke, "", ""},
		"all is gone":       {[]func(*keyrequest.Facts){func(f *keyrequest.Facts) { f.Request, f.Review = nil, nil }}, keyrequest.Nothing, "", ""},
		"automatic":         {[]func(*keyrequest.Facts){func(f *keyrequest.Facts) { f.Group.Spec.KeyPolicy.Requests = v1alpha1.RequestsAutomatic }}, keyrequest.Decide, "Pending", v1alpha1.ReasonUndecided},
		"Group is gone":     {[]func(*keyrequest.Facts){issue, func(f *keyrequest.Facts) { f.Group, f.Review = nil, nil }}, keyrequest.Nothing, "Issued", v1alpha1.ReasonGroupNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts()
			for _, change := range test.change {
				change(f)
			}
			got := keyrequest.Next(f)
			if got.Action != test.action || got.State != test.state || got.Reason != test.reason {
				t.Errorf("got %+v", got)
			}
			if f.Request != nil && got.Reason != "" && got.Message == "" {
				t.Error("it says nothing")
			}
		})
	}
}

func TestAutomatic(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*keyrequest.Facts)
		verdict v1alpha1.Verdict
		says    string
	}{
		"admitted":        {func(*keyrequest.Facts) {}, v1alpha1.VerdictApproved, ""},
		"unknown project": {func(f *keyrequest.Facts) { f.Group.Spec.Projects = f.Group.Spec.Projects[1:] }, v1alpha1.VerdictRefused, "spec.projects[0]"},
		"too long":        {func(f *keyrequest.Facts) { f.Group.Spec.KeyPolicy.MaxLifetime = "7d" }, v1alpha1.VerdictRefused, "live at most 7d"},
		"needs addresses": {func(f *keyrequest.Facts) { f.Group.Spec.KeyPolicy.RequireAddresses = ptr.To(true) }, v1alpha1.VerdictRefused, "spec.addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts()
			f.Group.Spec.KeyPolicy.Requests = v1alpha1.RequestsAutomatic
			test.change(f)
			got := keyrequest.Next(f)
			if got.Action != keyrequest.Decide || got.Decision.Verdict != test.verdict || !strings.Contains(got.Decision.Reason, test.says) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestSilence: who asks learns the same of a Group that does not exist, does not admit the namespace, or has its requests off.
func TestSilence(t *testing.T) {
	var first *keyrequest.Outcome
	for name, change := range map[string]func(*keyrequest.Facts){
		"no Group":     func(f *keyrequest.Facts) { f.Group = nil },
		"not admitted": func(f *keyrequest.Facts) { f.Group.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSame },
		"off":          func(f *keyrequest.Facts) { f.Group.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff },
		"default":      func(f *keyrequest.Facts) { f.Group.Spec.KeyPolicy.Requests = "" },
		"off, and full": func(f *keyrequest.Facts) {
			f.Group.Spec.KeyPolicy.Requests, f.Beyond = v1alpha1.RequestsOff, true
		},
	} {
		f := facts()
		f.Review = nil
		change(f)
		got := keyrequest.Next(f)
		if first == nil {
			first = &got
		}
		if got.Action != keyrequest.Nothing || !reflect.DeepEqual(got, *first) {
			t.Errorf("%s: got %+v, want %+v", name, got, *first)
		}
	}
}

func TestExpiry(t *testing.T) {
	for lifetime, want := range map[v1alpha1.Duration]time.Duration{"30d": 30 * 24 * time.Hour, "365d": 90 * 24 * time.Hour, "": 90 * 24 * time.Hour} {
		f := facts()
		f.Review.Spec.Lifetime = lifetime
		key, problem := keyrequest.Key(f.Review, f.Group, now)
		if problem != nil || !key.Spec.ExpiresAt.Time.Equal(now.Add(want)) {
			t.Errorf("%q: got %v, %v", lifetime, key, problem)
		}
	}
}

// TestReviewHasHow: how a request was made is one of the words that the schema knows, also where somebody has written another one.
func TestReviewHasHow(t *testing.T) {
	for text, want := range map[string]v1alpha1.Via{
		"console": v1alpha1.ViaConsole, "": "", "Console": "", "keyward": "", "unknown": "", strings.Repeat("x", 5000): "",
	} {
		f := facts()
		f.Request.Annotations[v1alpha1.AnnotationCreatedVia] = text
		if got := keyrequest.NewReview(f.Request, f.Group).Spec.Request.Via; got != want {
			t.Errorf("%.20q: got %q, want %q", text, got, want)
		}
	}
}

func TestReviewName(t *testing.T) {
	if name := keyrequest.ReviewName("a", "b"); name != keyrequest.ReviewName("a", "b") || len(name) != 32 ||
		name == keyrequest.ReviewName("a", "c") || name == keyrequest.ReviewName("c", "b") || name == keyrequest.ReviewName("b", "a") {
		t.Error("two reviews have one name, or one review has two")
	}
}

// TestLifecycle lets people and the manager act in any order.
func TestLifecycle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := facts()
		f.Review = nil
		asked := f.Request.Spec.DeepCopy()
		var final v1alpha1.KeyRequestState
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"next", "next", "next", "approve", "refuse", "withdraw", "mode", "group", "day", "edit", "lose key", "admit"}).Draw(t, "step") {
			case "approve":
				if f.Review != nil && f.Review.Spec.Decision == nil {
					decide(f, v1alpha1.VerdictApproved)
				}
			case "refuse":
				if f.Review != nil && f.Review.Spec.Decision == nil {
					decide(f, v1alpha1.VerdictRefused)
				}
			case "withdraw":
				if f.Review != nil && f.Review.Spec.Decision != nil && f.Review.Spec.Decision.Verdict == v1alpha1.VerdictApproved {
					decide(f, v1alpha1.VerdictWithdrawn)
				}
			case "mode":
				if f.Group != nil {
					f.Group.Spec.KeyPolicy.Requests = rapid.SampledFrom([]v1alpha1.RequestMode{"", "Off", "Manual", "Automatic"}).Draw(t, "mode")
				}
			case "admit":
				if f.Group != nil {
					f.Group.Spec.AllowedNamespaces.From = rapid.SampledFrom([]v1alpha1.NamespacesFrom{"Same", "All"}).Draw(t, "from")
				}
			case "group":
				if f.Group == nil {
					f.Group = facts().Group
					f.Group.UID = "again"
				} else {
					f.Group, f.Review = nil, nil
				}
			case "day":
				f.Now = f.Now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "days")) * 24 * time.Hour)
			case "edit": // it cannot be, and has no effect if it is
				f.Request.Spec.Projects = []v1alpha1.ProjectName{"product"}
			case "lose key":
				f.Key = nil
			case "next":
				final = next(t, f, asked, final)
			}
		}
	})
}

// next does what is to be done, as the manager does, and requires what must hold.
func next(t *rapid.T, f *keyrequest.Facts, asked *v1alpha1.KeyRequestSpec, final v1alpha1.KeyRequestState) v1alpha1.KeyRequestState {
	outcome := keyrequest.Next(f)
	if final != "" && outcome.State != final {
		t.Fatalf("%s became %s", final, outcome.State)
	}
	switch outcome.Action {
	case keyrequest.CreateReview:
		if f.Request.Spec.Projects[0] != asked.Projects[0] {
			f.Request.Spec = *asked.DeepCopy() // the API server keeps it
		}
		f.Review = keyrequest.NewReview(f.Request, f.Group)
	case keyrequest.DeleteReview:
		if len(f.Review.Spec.Decided) > 0 {
			t.Fatal("a decision is deleted")
		}
		f.Review = nil
	case keyrequest.Decide:
		if f.Review.Spec.Decision != nil || f.Group.Spec.KeyPolicy.Requests != v1alpha1.RequestsAutomatic {
			t.Fatal("it decides what is for a person")
		}
		decide(f, outcome.Decision.Verdict)
		return final
	case keyrequest.Mint:
		decided := f.Review.Spec.Decided
		if len(decided) != 1 || decided[0].Verdict != v1alpha1.VerdictApproved || final != "" || f.Key != nil {
			t.Fatalf("minted with %+v in state %q", decided, final)
		}
		if f.Group.Spec.KeyPolicy.Requests == v1alpha1.RequestsOff || f.Group.Spec.AllowedNamespaces.From != v1alpha1.NamespacesFromAll {
			t.Fatal("minted where requests are not accepted")
		}
		mint(f)
		if f.Key == nil {
			return final
		}
		if !reflect.DeepEqual(f.Key.Spec.Projects, asked.Projects) || !reflect.DeepEqual(f.Key.Spec.Permissions, asked.Permissions) ||
			f.Key.Spec.ExpiresAt.After(f.Now.Add(30*24*time.Hour)) || f.Key.Namespace != "shop" || f.Key.Name != "web" {
			t.Fatalf("minted %+v", f.Key)
		}
		return final // a crash: the status is written the next time
	case keyrequest.Revoke:
		if outcome.State != v1alpha1.KeyRequestWithdrawn {
			t.Fatalf("revoked in state %s", outcome.State)
		}
		f.Key.Spec.Revoked = ptr.To(true)
	}
	f.Request.Status.State = outcome.State
	if outcome.State == v1alpha1.KeyRequestIssued && f.Request.Status.Key == nil {
		f.Request.Status.Key = &v1alpha1.IssuedKey{Name: f.Key.Name, UID: f.Key.UID}
	}
	if outcome.State.Final() {
		return outcome.State
	}
	return final
}
