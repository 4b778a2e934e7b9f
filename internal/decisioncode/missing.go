package decisioncode

// Missing is a usual cause of OriginMissing, as far as a request tells it.
type Missing struct {
	// FetchSite is the value of Sec-Fetch-Site in such requests, "" for none.
	FetchSite string
	// Detail takes the place of the code's.
	Detail string
}

// Causes returns the usual causes of OriginMissing. Other values of Sec-Fetch-Site say nothing about it.
func Causes() []Missing { return append([]Missing(nil), causes...) }

var causes = func() []Missing {
	const (
		tool = " It has no Sec-Fetch-Site either, so no page of a current browser sent it over https. Servers, apps and tools can use " +
			"a project that accepts requests without an origin: ask its owner."
		ownPage = " A page of the same host sent it: browsers send no Origin with such a GET, and the page's Referrer-Policy, such as " +
			"no-referrer, removes the Referer. Send Referrer-Policy: same-origin with the page, or ask the project's owner to allow its domain."
		otherPage = " A page of another host sent it without CORS, as images, videos, scripts and links are, and its Referrer-Policy or a " +
			"privacy extension removes the Referer. Use fetch or the attribute crossorigin, or send " +
			"Referrer-Policy: strict-origin-when-cross-origin with the page."
		nobody = " The address was opened directly, such as from the address bar or a bookmark. Open the page that uses it."
	)
	general := OriginMissing.Detail()
	return []Missing{{"", general + tool}, {"same-origin", general + ownPage}, {"same-site", general + otherPage},
		{"cross-site", general + otherPage}, {"none", general + nobody}}
}()

// DetailFor returns the Detail for a request with this Sec-Fetch-Site.
func (c Code) DetailFor(fetchSite string) string {
	if c == OriginMissing {
		for i := range causes {
			if causes[i].FetchSite == fetchSite {
				return causes[i].Detail
			}
		}
	}
	return c.Detail()
}
