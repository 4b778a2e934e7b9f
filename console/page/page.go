// Package page turns plain structs into the pages of the console: it reads nothing, and decides nothing. All pages work without the script.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

//go:embed templates
var templates embed.FS

// Policy is the Content-Security-Policy that the pages need: no script and no style in a page, and nothing from elsewhere.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// Prefix is the path below which Assets is served.
const Prefix = "/assets/"

var pages = map[string]*template.Template{}

var functions = template.FuncMap{"asset": assetPath, "count": count, "when": newInstant, "axis": newAxis, "kept": newKept, "snippets": snippets,
	"input": newInput, "chooser": newChooser, "use": newUse, "chart": newChart, "meter": newMeter, "searchHelp": searchHelp, "breakdown": newBreakdown}

func init() {
	for _, name := range []string{"signin", "failure", "groups", "keys", "key", "create", "claimed", "rotate", "suspend", "resume", "revoke", "usage",
		"projects", "allowlist", "allowlists", "log", "claim", "signout", "leaving", "requests", "request", "ask", "ownrequests",
		"ownrequest", "deleterequest", "platform"} {
		pages[name] = template.Must(template.New(name).Funcs(functions).
			ParseFS(templates, "templates/layout.html", "templates/fields.html", "templates/parts.html", "templates/"+name+".html"))
	}
}

// render writes a page as a whole, or nothing of it.
func render(to io.Writer, name string, frame Frame, body any) error {
	var text bytes.Buffer
	if err := pages[name].ExecuteTemplate(&text, "layout", struct {
		Frame Frame
		Body  any
	}{frame, body}); err != nil {
		return err
	}
	_, err := text.WriteTo(to)
	return err
}

// assetPath has a digest of the content, so that browsers may keep a file for ever.
func assetPath(name string) (string, error) {
	content, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(content)
	return Prefix + hex.EncodeToString(digest[:6]) + "/" + name, nil
}

// Assets serves the style, the script and the icon below Prefix. A path with another digest than that of the content is not found.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		_, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Prefix), "/")
		path, err := assetPath(name)
		if err != nil || path != r.URL.Path {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeFileFS(w, r, assets, "assets/"+name)
	})
}

// instant is a time as a person reads it, and as a machine does.
type instant struct {
	At                                 time.Time
	Never, Machine, Absolute, Relative string
}

func newInstant(now, at time.Time, never string) instant {
	at = at.UTC()
	return instant{At: at, Never: never, Machine: at.Format(time.RFC3339), Absolute: at.Format("2 January 2006, 15:04:05 UTC"),
		Relative: relative(now, at)}
}

// relative rounds towards zero, to the largest unit that fits.
func relative(now, at time.Time) string {
	d, ahead := now.Sub(at), at.After(now)
	if ahead {
		d = -d
	}
	if d < time.Minute {
		if ahead {
			return "in less than a minute"
		}
		return "just now"
	}
	n, unit := int64(d/time.Minute), "minute"
	if d >= 24*time.Hour {
		n, unit = int64(d/(24*time.Hour)), "day"
	} else if d >= time.Hour {
		n, unit = int64(d/time.Hour), "hour"
	}
	text := count(n) + " " + unit
	if n != 1 {
		text += "s"
	}
	if ahead {
		return "in " + text
	}
	return text + " ago"
}

// count separates thousands.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(text) - 3; i > start; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
