package leaks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Bounds of a request.
const (
	maxBody    = 1 << 20
	maxReports = 1000
	maxURL     = 512
	maxSource  = 32
)

// report is one text that was found, as scanners send it. It must not be logged.
type report struct {
	Token  string `json:"token"`
	SHA256 string `json:"sha256"` // in place of the token, in the plain form
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

// found is a report of which only the digest is left.
type found struct {
	digest keyformat.Digest
	kind   string // as the scanner names it; it is sent back
	url    string
	source string
}

var (
	errReports = errors.New("the body is no JSON array of objects with token, type, url and source")
	errTooMany = fmt.Errorf("at most %d reports are read at once", maxReports)
)

// parseReports reads the reports of a body. Texts are hashed at once, and not kept. A report that can be of no key is
// left with a digest that nobody has.
func parseReports(body []byte) ([]found, error) {
	var reports []report
	if err := json.Unmarshal(body, &reports); err != nil {
		return nil, errReports // the error of the decoder may quote a text
	}
	if len(reports) > maxReports {
		return nil, errTooMany
	}
	all := make([]found, 0, len(reports))
	for i := range reports {
		r := &reports[i]
		digest := keyformat.DigestOf(r.Token)
		if r.Token == "" {
			var err error
			if digest, err = keyformat.ReadSHA256(r.SHA256); err != nil {
				return nil, fmt.Errorf("report %d has neither a token nor the SHA-256 of one", i+1)
			}
		}
		all = append(all, found{digest: digest, kind: cleanType(r.Type), url: cleanURL(r.URL, r.Token), source: cleanSource(r.Source)})
	}
	return all, nil
}

// cleanURL returns the place without what may be a secret, or may mislead who reads it: it is shown to everybody who may read
// the ApiKey. It returns "" if nothing of it can be shown.
func cleanURL(text, token string) string {
	if len(text) > 8*maxURL {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || token != "" && strings.Contains(u.Hostname(), token) {
		return ""
	}
	clean := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	if token != "" && (strings.Contains(clean, token) || strings.Contains(u.Path, token)) {
		clean = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	}
	for i := range len(clean) {
		if clean[i] <= ' ' || clean[i] > '~' {
			return ""
		}
	}
	return clean[:min(len(clean), maxURL)]
}

func cleanSource(text string) string {
	return cleanWord(text, maxSource)
}

func cleanType(text string) string {
	const most = 128
	return cleanWord(text, most)
}

// cleanWord returns the letters, digits, '-', '_' and '.' of a text.
func cleanWord(text string, most int) string {
	text = text[:min(len(text), 4*most)]
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return -1
	}, text)
	return word[:min(len(word), most)]
}
