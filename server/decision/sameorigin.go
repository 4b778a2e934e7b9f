package decision

import "github.com/keyward-dev/keyward/internal/origin"

// fetchSameOrigin is the Sec-Fetch-Site of a request to the origin of the page that sent it. Browsers send no Origin with
// a GET of that kind, and a Referrer-Policy may remove the Referer.
const fetchSameOrigin = "same-origin"

// isOwnPage reports whether a page of the request's own host sent it, according to the browser, and the project allows that host.
// It is for requests with neither Origin nor Referer.
func (e *evaluation) isOwnPage() bool {
	return e.request.FetchSite == fetchSameOrigin && e.project.Origins.allowOwn(e.request.Host)
}

// allowOwn reports whether the origin is allowed that has this host, in the form of a Host header. Browsers send
// Sec-Fetch-Site to trustworthy origins only: https, and http of the machine itself.
func (o *Origins) allowOwn(host string) bool {
	from, err := origin.Parse("https://" + host)
	if err != nil {
		return false
	}
	if o.Allows(from) {
		return true
	}
	if !from.IsLocalhost() {
		return false
	}
	from, err = origin.Parse("http://" + host)
	return err == nil && o.Allows(from)
}
