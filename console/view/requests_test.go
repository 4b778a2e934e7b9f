package view

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/role"
)

// review is of a request of the namespace shop that nobody has decided about.
func review(change ...func(*v1alpha1.KeyRequestReview)) *v1alpha1.KeyRequestReview {
	r := &v1alpha1.KeyRequestReview{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "5f0c"}}
	r.Spec = v1alpha1.KeyRequestReviewSpec{
		Request:  v1alpha1.RequestIdentity{Namespace: "shop", Name: "web", UID: "7", By: "ben", At: *at(-26 * time.Hour)},
		Group:    v1alpha1.GroupIdentity{Name: "acme", UID: "1"},
		Projects: []v1alpha1.ProjectName{"media", "maps"}, UseCase: "The shop\nshows scenes.",
	}
	for _, f := range change {
		f(r)
	}
	return r
}

// decided is what was decided so long ago, and recorded.
func decided(verdict v1alpha1.Verdict, ago time.Duration) func(*v1alpha1.KeyRequestReview) {
	return func(r *v1alpha1.KeyRequestReview) {
		r.Spec.Decision = &v1alpha1.Decision{Verdict: verdict, Reason: "Because."}
		r.Spec.Decided = append(r.Spec.Decided, v1alpha1.Decided{Verdict: verdict, Reason: "Because.", By: "ada", At: *at(-ago)})
	}
}

func TestRequests(t *testing.T) {
	unrecorded := func(r *v1alpha1.KeyRequestReview) {
		r.Spec.Decision = &v1alpha1.Decision{Verdict: v1alpha1.VerdictApproved}
	}
	for _, c := range []struct {
		name               string
		review             *v1alpha1.KeyRequestReview
		state              page.State
		decides, withdraws bool
		decided            string
	}{
		{"undecided", review(), page.State{Text: "Undecided", Tone: page.Warn}, true, false, ""},
		{"approved", review(decided(v1alpha1.VerdictApproved, day)), page.State{Text: "Approved", Tone: page.Good}, false, true, "Approved"},
		{"refused", review(decided(v1alpha1.VerdictRefused, day)), page.State{Text: "Refused", Tone: page.Off}, false, false, "Refused"},
		{"withdrawn", review(decided(v1alpha1.VerdictApproved, day), decided(v1alpha1.VerdictWithdrawn, time.Hour)),
			page.State{Text: "Withdrawn", Tone: page.Off}, false, false, "Approved Withdrawn"},
		{"not recorded", review(unrecorded), page.State{Text: "Approved, not recorded", Tone: page.Bad}, false, true, ""},
	} {
		for _, may := range []bool{true, false} {
			s := sight(role.Owner)
			s.Decides = may
			detail := s.Request(c.review, groupOfReview())
			var all []string
			for _, one := range detail.Decided {
				all = append(all, one.State.Text)
			}
			if detail.State != c.state || detail.Decides != (may && c.decides) || detail.Withdraws != (may && c.withdraws) || strings.Join(all, " ") != c.decided {
				t.Errorf("%s: %+v", c.name, detail)
			}
		}
	}
	row := sight(role.Owner).RequestRow(review())
	want := page.Request{Name: "web", Href: "/groups/acme/acme/requests/5f0c", Namespace: "shop", By: "ben", Projects: "media, maps", Permissions: "read",
		UseCase: "The shop shows scenes.", Lifetime: "default of the Group", State: page.State{Text: "Undecided", Tone: page.Warn}, At: now.Add(-26 * time.Hour)}
	if row != want {
		t.Errorf("%+v", row)
	}
}

// groupOfReview has what review asks for.
func groupOfReview(change ...func(*v1alpha1.Group)) *v1alpha1.Group {
	g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme", UID: "1"}}
	g.Spec.Projects = []v1alpha1.Project{{Name: "media"}, {Name: "maps"}}
	g.Spec.KeyPolicy.Requests, g.Spec.AllowedNamespaces.From = v1alpha1.RequestsManual, v1alpha1.NamespacesFromAll
	g.Spec.KeyPolicy.DefaultLifetime, g.Spec.KeyPolicy.MaxLifetime = "30d", "90d"
	for _, f := range change {
		f(g)
	}
	return g
}

// TestForeseen: what the page of a request says before it is approved, of a Group that admits its namespace by labels that nobody reads.
func TestForeseen(t *testing.T) {
	lifetime := func(of v1alpha1.Duration) func(*v1alpha1.KeyRequestReview) {
		return func(r *v1alpha1.KeyRequestReview) { r.Spec.Lifetime = of }
	}
	bySelector := func(g *v1alpha1.Group) {
		g.Spec.AllowedNamespaces.From, g.Spec.AllowedNamespaces.Selector = v1alpha1.NamespacesFromSelector, &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	}
	for _, c := range []struct {
		name         string
		review       *v1alpha1.KeyRequestReview
		group        *v1alpha1.Group
		ends         time.Duration
		shortened    bool
		lacks, unfit string
	}{
		{"by default", review(), groupOfReview(bySelector), 30 * day, false, "", ""},
		{"as asked", review(lifetime("60d")), groupOfReview(), 60 * day, false, "", ""},
		{"shortened", review(lifetime("365d")), groupOfReview(), 90 * day, true, "", ""},
		{"without its project", review(), groupOfReview(func(g *v1alpha1.Group) { g.Spec.Projects = g.Spec.Projects[:1] }), 30 * day, false, "maps", ""},
		{"not accepted", review(), groupOfReview(func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Requests = v1alpha1.RequestsOff }), 0, false, "", "requests"},
		{"from elsewhere", review(), groupOfReview(func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSame }), 0, false, "", "namespace"},
		{"without a lifetime that is one", review(lifetime("1x")), groupOfReview(), 0, false, "", "1x"},
	} {
		s := sight(role.Owner)
		s.Decides = true
		got, ends := s.Request(c.review, c.group), time.Time{}
		if c.ends > 0 {
			ends = now.Add(c.ends)
		}
		says := func(text, want string) bool { return strings.Contains(text, want) && (text == "") == (want == "") }
		if !got.Ends.Equal(ends) || got.Shortened != c.shortened || !says(got.Lacks, c.lacks) || !says(got.Unfit, c.unfit) {
			t.Errorf("%s: ends %v, shortened %v, lacks %q, unfit %q", c.name, got.Ends, got.Shortened, got.Lacks, got.Unfit)
		}
		s.Decides = false
		if got := s.Request(c.review, c.group); !got.Ends.IsZero() || got.Lacks != "" || got.Unfit != "" {
			t.Errorf("%s: who may not decide sees %+v", c.name, got)
		}
	}
}

// TestVerdicts has every verdict after every other, as the schema of the API has it.
func TestVerdicts(t *testing.T) {
	const approved, refused, withdrawn = v1alpha1.VerdictApproved, v1alpha1.VerdictRefused, v1alpha1.VerdictWithdrawn
	for _, c := range []struct {
		review *v1alpha1.KeyRequestReview
		may    []v1alpha1.Verdict
	}{
		{review(), []v1alpha1.Verdict{approved, refused}},
		{review(decided(approved, day)), []v1alpha1.Verdict{withdrawn}},
		{review(decided(refused, day)), nil},
		{review(decided(approved, day), decided(withdrawn, day)), nil},
	} {
		for _, verdict := range []v1alpha1.Verdict{approved, refused, withdrawn, "", "approved"} {
			if got := CanFollow(c.review, verdict); got != slices.Contains(c.may, verdict) {
				t.Errorf("%q after %+v: %v", verdict, c.review.Spec.Decision, got)
			}
		}
	}
}

func TestOrderOfRequests(t *testing.T) {
	named := func(name string, asked time.Duration) func(*v1alpha1.KeyRequestReview) {
		return func(r *v1alpha1.KeyRequestReview) { r.Name, r.Spec.Request.At = name, *at(-asked) }
	}
	all := []*v1alpha1.KeyRequestReview{
		review(named("refused", 9*day), decided(v1alpha1.VerdictRefused, 2*day)), review(named("new", time.Hour)),
		review(named("withdrawn", 8*day), decided(v1alpha1.VerdictApproved, 3*day), decided(v1alpha1.VerdictWithdrawn, time.Hour)),
		review(named("old", 5*day)), review(named("approved", 10*day), decided(v1alpha1.VerdictApproved, day)),
	}
	slices.SortFunc(all, ByTurn)
	var got []string
	for _, one := range all {
		got = append(got, one.Name)
	}
	if want := []string{"old", "new", "withdrawn", "approved", "refused"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReviewOfAGroup(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.KeyRequestReview)
		want   bool
	}{
		"its own":                {func(*v1alpha1.KeyRequestReview) {}, true},
		"another Group":          {func(r *v1alpha1.KeyRequestReview) { r.Spec.Group.Name = "other" }, false},
		"created again":          {func(r *v1alpha1.KeyRequestReview) { r.Spec.Group.UID = "2" }, false},
		"of another namespace":   {func(r *v1alpha1.KeyRequestReview) { r.Namespace = "shop" }, false},
		"asked from a namespace": {func(r *v1alpha1.KeyRequestReview) { r.Spec.Request.Namespace = "acme" }, true},
	} {
		if got := ReviewOf(review(c.change), acme()); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAnyRequestHasPages: texts of others never become markup, and a row has a bound.
func TestAnyRequestHasPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, many := rapid.StringN(0, 600, -1), rapid.IntRange(0, 64)
		r := review(func(r *v1alpha1.KeyRequestReview) {
			r.Spec.UseCase, r.Spec.Request.By = text.Draw(t, "use case")+"<b onclick='x'>", text.Draw(t, "by")+"<b onclick='x'>"
			r.Spec.Projects = slices.Repeat([]v1alpha1.ProjectName{"media"}, many.Draw(t, "projects"))
			for _, verdict := range rapid.SliceOfN(rapid.SampledFrom([]v1alpha1.Verdict{"Approved", "Refused", "Withdrawn", "Unheard"}), 0, 2).Draw(t, "verdicts") {
				r.Spec.Decision = &v1alpha1.Decision{Verdict: verdict}
				r.Spec.Decided = append(r.Spec.Decided, v1alpha1.Decided{Verdict: verdict, By: text.Draw(t, "who"), Reason: "<b onclick='x'>"})
			}
		})
		s := sight("")
		s.Decides = rapid.Bool().Draw(t, "decides")
		row, detail := s.RequestRow(r), s.Request(r, groupOfReview())
		var to bytes.Buffer
		if err := detail.Write(&to, page.Frame{Now: now}); err != nil {
			t.Fatal(err)
		}
		if err := (page.Requests{Requests: []page.Request{row}}).Write(&to, page.Frame{Now: now}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(to.String(), "<b onclick") {
			t.Error("a text of others is markup")
		}
		if utf8.RuneCountInString(row.UseCase) > shownUseCase+1 || len(row.Projects) > 100 {
			t.Errorf("the row is long: %+v", row)
		}
		if (detail.Decides || detail.Withdraws) && !s.Decides || detail.Decides && detail.Withdraws {
			t.Errorf("offered: %+v", detail)
		}
	})
}
