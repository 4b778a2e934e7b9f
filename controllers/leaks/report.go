package leaks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Bounds of a request.
const (
	maxBody    = 1 << 20
	maxReports = 1000
	maxURL     = 512
	maxSource  = 32
	maxType    = 128
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
	if err := json.Unmarshal(body, &reports); err != nil || reports == nil {
		return nil, errReports // the error of the decoder may quote a text
	}
	if len(reports) > maxReports {
		return nil, errTooMany
	}
	all := make([]found, 0, len(reports))
	for i := range reports {
		r := &reports[i]
		r.Token = strings.TrimSpace(r.Token) // no key has white space; who reads one from a file often sends its line end
		digest := keyformat.DigestOf(r.Token)
		if r.Token == "" {
			var err error
			if digest, err = keyformat.ReadSHA256(r.SHA256); err != nil {
				return nil, fmt.Errorf("report %d has neither a token nor the SHA-256 of one", i+1)
			}
		}
		of := secret{text: r.Token, digest: digest}
		all = append(all, found{digest: digest, kind: of.cleanWord(r.Type, maxType), url: of.cleanURL(r.URL), source: of.cleanWord(r.Source, maxSource)})
	}
	return all, nil
}

// secret is what the other members of a report must not have.
type secret struct {
	text   string // "" if only the digest is known
	digest keyformat.Digest
}

// keyForm is how Keyward's own keys end, whoever's they are.
var keyForm = regexp.MustCompile(`_[0-9A-Za-z]{49}`)

// in reports whether a text has the secret, or any key of Keyward's form. Of a secret of which only the digest is known it finds
// what stands between the separators of URLs and of words.
func (s secret) in(text string) bool {
	if s.text != "" && strings.Contains(text, s.text) || keyForm.MatchString(text) || keyformat.DigestOf(text) == s.digest {
		return true
	}
	for _, separators := range []string{"/", "/ ?#&=;,:@\"'()<>"} {
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
			if len(word) >= keyformat.MinImport && keyformat.DigestOf(word) == s.digest {
				return true
			}
		}
	}
	return false
}

// cleanURL returns the place without what may be a secret, or may mislead who reads it: it is shown to everybody who may read
// the ApiKey. It returns "" if nothing of it can be shown.
func (s secret) cleanURL(text string) string {
	if len(text) > 8*maxURL {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || s.in(u.Host) {
		return ""
	}
	clean := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	if s.in(clean) || s.in(u.Path) {
		clean = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	}
	for i := range len(clean) {
		if clean[i] <= ' ' || clean[i] > '~' {
			return ""
		}
	}
	return clean[:min(len(clean), maxURL)]
}

// cleanWord returns the letters, digits, '-', '_' and '.' of a text, or "" if the text has a secret.
func (s secret) cleanWord(text string, most int) string {
	if len(text) > maxURL {
		return ""
	}
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return -1
	}, text)
	if s.in(text) || s.in(word) {
		return ""
	}
	return word[:min(len(word), most)]
}
