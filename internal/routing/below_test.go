package routing

import "testing"

// TestPathsBelowAFileAreOwnedAndNotGranted: servers of scripts interpret "/report.php/x" as the
// script, with a PATH_INFO. Therefore the owner of a file also owns the paths below it, with a lower rank than
// routes that name these paths.
func TestPathsBelowAFileAreOwnedAndNotGranted(t *testing.T) {
	for _, c := range []struct{ path, better, worse string }{
		{"/docs/report.php/x.css", "/docs/report.php", "/docs/**"},
		{"/docs/report.php/x.css", "/docs/report.php", "/**"}, {"/docs/report.php/a/b/", "/docs/report.php", "/docs/**"},
		{"/docs/report.php/x.css", "/docs/report.php/x.css", "/docs/report.php"},
		{"/docs/report.php/x.css", "/docs/report.php/**", "/docs/report.php"},
		{"/docs/report.php/x.css", "/docs/report.php/*", "/docs/report.php"}, {"/docs/report.php/x.css", "/docs/report.php", "/docs/*/*"},
		{"/docs/report.php/x", "/docs/report.php/", "/docs/**"}, {"/docs/report.php/x", "/docs/report.php/**", "/docs/report.php/"},
		{"/docs/a.php/x", "/docs/*.php", "/docs/**"}, {"/docs/a.php/x", "/docs/a.php", "/docs/*.php"},
		{"/docs/a.jsp/x", "/docs/a.*", "/docs/**"}, {"/a/b.cgi/x", "/*/b.cgi", "/a/**"},
		{"/docs/.env/x", "/docs/.env", "/docs/**"}, {"/docs/report.php/", "/docs/report.php", "/docs/**"},
	} {
		better, worse := mustCompile(t, Route{Paths: []string{c.better}}), mustCompile(t, Route{Paths: []string{c.worse}})
		one, ok := better.Match(&Request{Path: c.path})
		other, okToo := worse.Match(&Request{Path: c.path})
		if !ok || !okToo || one.Compare(other) <= 0 {
			t.Errorf("%s: %s (%v, %v) is not before %s (%v, %v)", c.path, c.better, one, ok, c.worse, other, okToo)
		}
	}
	for _, c := range []struct{ pattern, path string }{
		{"/report", "/report/x"}, {"/docs/*", "/docs/a.php/x"}, {"/v1.2/report", "/v1.2/report/x"},
		{"/a.php", "/a.phpx/x"}, {"/a.php", "/a.php5"}, {"/*.php", "/a/b.php/x"},
	} {
		if m := mustCompile(t, Route{Paths: []string{c.pattern}}); func() bool { _, ok := m.Match(&Request{Path: c.path}); return ok }() {
			t.Errorf("%s owns %s", c.pattern, c.path)
		}
	}
	for _, pattern := range []string{"/a.php", "/a.php/", "/*.php"} {
		m := mustCompile(t, Route{Paths: []string{pattern}})
		if m.Grants(&Request{Path: "/a.php/x"}) {
			t.Errorf("%s grants /a.php/x", pattern)
		}
		path, err := Reading{IgnoreCase: true}.Path("/A.PHP/x")
		if _, ok := m.Match(&Request{Path: path, IgnoreCase: true}); err != nil || !ok {
			t.Errorf("%s does not own /A.PHP/x where case is ignored: %v", pattern, err)
		}
	}
}
