package session

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/keyward-dev/keyward/console/person"
)

const (
	// noticeFor is how long the page that follows a form may take to be asked for.
	noticeFor = 2 * time.Minute
	// mostNotice is how many bytes the value of the cookie has at most: with the others, it has to fit into 8 KiB of a header, which is what proxies take.
	mostNotice = 2048
	// moreNotices stands for what did not fit.
	moreNotices = "There are more warnings."
)

// notice is what is to be said on a page, as JSON. Until is in Unix milliseconds.
type notice struct {
	Session string   `json:"i"`
	Path    string   `json:"p"`
	Texts   []string `json:"t"`
	Until   int64    `json:"e"`
}

// Notify has the next page of this path, of the person who sent the request, say these texts, once. They are in a cookie that only the console can read,
// and not in an address. What does not fit is left out, and that is said.
func (s *Sessions) Notify(w http.ResponseWriter, r *http.Request, path string, texts []string) {
	of, ok := person.From(r.Context())
	if !ok || len(texts) == 0 {
		return
	}
	now := s.config.Now()
	for n := len(texts); n >= 0; n-- {
		said := texts[:n:n]
		if n < len(texts) {
			said = append(said, moreNotices)
		}
		flat, err := json.Marshal(notice{of.Session, path, said, now.Add(noticeFor).UnixMilli()})
		if err != nil {
			return
		}
		value, err := s.config.Ring.Seal(now, forNotice, s.notice.Full(), flat)
		if err == nil && len(value) <= mostNotice {
			_ = s.notice.Set(w, value) // it is shorter than what cookies may have
			return
		}
	}
}

// Notices returns what a page is to say, if the request is for it, and has the browser forget it. What a script asks for says nothing.
func (s *Sessions) Notices(w http.ResponseWriter, r *http.Request) []string {
	value, sent := s.notice.Get(r)
	if !sent || r.Method != http.MethodGet || !IsPage(r) {
		return nil
	}
	now := s.config.Now()
	of, _ := person.From(r.Context())
	var n notice
	text, _, ok := s.config.Ring.Open(now, forNotice, s.notice.Full(), value)
	if !ok || json.Unmarshal(text, &n) != nil || of == nil || n.Session != of.Session || !now.Before(time.UnixMilli(n.Until)) {
		s.notice.Clear(w)
		return nil
	}
	if n.Path != r.URL.RequestURI() { // another tab was faster
		return nil
	}
	s.notice.Clear(w)
	return n.Texts
}
