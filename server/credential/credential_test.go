package credential_test

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
)

func mint(t testing.TB) string {
	t.Helper()
	key, err := keyformat.Mint("vctrl", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}

var keys = credential.New(credential.Config{Parameters: []string{"token", "api_key"},
	Headers: []string{"ocp-apim-subscription-key"}, Schemes: []string{"ApiKey"}})

const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

func TestQuery(t *testing.T) {
	key, other := mint(t), mint(t)
	escaped := "%" + strings.ToUpper("76") + key[1:] // a 'v'
	for name, c := range map[string]struct {
		path, query string // {key}, {other} and {escaped} stand for the texts

		rest     string
		form     decision.Form
		location decision.Location
		doubt    decision.Code
	}{
		"nothing":                   {query: "a=b", rest: "a=b"},
		"alone":                     {query: "token={key}", form: decision.WellFormed, location: decision.InQuery},
		"first":                     {query: "token={key}&a=b", rest: "a=b", form: decision.WellFormed, location: decision.InQuery},
		"last":                      {query: "a=b&token={key}", rest: "a=b", form: decision.WellFormed, location: decision.InQuery},
		"bytes of others stay":      {query: "&a=%2b+%20&&token={key}&=&%zz&c", rest: "&a=%2b+%20&&=&%zz&c", form: decision.WellFormed, location: decision.InQuery},
		"only separators stay":      {query: "&token={key}&", rest: "&", form: decision.WellFormed, location: decision.InQuery},
		"name encoded":              {query: "%74oke%6E={key}", form: decision.WellFormed, location: decision.InQuery},
		"value encoded":             {query: "token={escaped}", form: decision.WellFormed, location: decision.InQuery},
		"value encoded badly":       {query: "token={key}%zz", form: decision.Malformed, location: decision.InQuery},
		"value with a space":        {query: "token={key}+x", form: decision.Malformed, location: decision.InQuery},
		"value with a line end":     {query: "token={key}%0d%0a", form: decision.Malformed, location: decision.InQuery},
		"a short value":             {query: "token=1", form: decision.Malformed, location: decision.InQuery},
		"empty":                     {query: "token=&a", rest: "a"},
		"without a value":           {query: "a&token", rest: "a"},
		"empty, then not":           {query: "token=&token={key}", form: decision.WellFormed, location: decision.InQuery},
		"twice":                     {query: "token={key}&token={key}", form: decision.Malformed, location: decision.InQuery},
		"twice, encoded":            {query: "token={key}&%74oken={key}", form: decision.Malformed, location: decision.InQuery},
		"two":                       {query: "token={key}&token={other}", form: decision.Malformed, location: decision.InQuery},
		"under two names":           {query: "token={key}&api_key={key}", form: decision.Malformed, location: decision.InQuery},
		"the other name":            {query: "api_key={key}", form: decision.WellFormed, location: decision.InQuery},
		"in capitals":               {query: "Token={key}", rest: "Token={key}", doubt: decision.QueryAmbiguous},
		"encoded twice":             {query: "%2574oken={key}", rest: "%2574oken={key}", doubt: decision.QueryAmbiguous},
		"as a list":                 {query: "token[]={key}", rest: "token[]={key}", doubt: decision.QueryAmbiguous},
		"as a list, encoded":        {query: "token%5B%5D={key}", rest: "token%5B%5D={key}", doubt: decision.QueryAmbiguous},
		"a space in front":          {query: "+token={key}", rest: "+token={key}", doubt: decision.QueryAmbiguous},
		"a NUL behind":              {query: "token%00x={key}", rest: "token%00x={key}", doubt: decision.QueryAmbiguous},
		"as PHP reads dots":         {query: "api.key={key}", rest: "api.key={key}", doubt: decision.QueryAmbiguous},
		"as qs reads dots":          {query: ".token={key}", rest: ".token={key}", doubt: decision.QueryAmbiguous},
		"the same beside the key":   {query: "token={key}&%2Etoken={key}", rest: "%2Etoken={key}", form: decision.WellFormed, location: decision.InQuery, doubt: decision.QueryAmbiguous},
		"a list, with an ampersand": {query: "token[]%26={key}", rest: "token[]%26={key}", doubt: decision.QueryAmbiguous},
		"an encoded equals sign":    {query: "token%3D{key}", rest: "token%3D{key}", doubt: decision.QueryAmbiguous},
		"behind an entity":          {query: "a&amp;token={key}", rest: "a&amp;token={key}", doubt: decision.QueryAmbiguous},
		"behind a semicolon":        {query: "a=b;token={key}", rest: "a=b;token={key}", doubt: decision.QueryAmbiguous},
		"before a semicolon":        {query: "token={key};a=b", rest: "token={key};a=b", doubt: decision.QueryAmbiguous},
		"a semicolon elsewhere":     {query: "a;b&token={key}", rest: "a;b", form: decision.WellFormed, location: decision.InQuery},
		"a doubt beside the key":    {query: "token={key}&TOKEN=x", rest: "TOKEN=x", form: decision.WellFormed, location: decision.InQuery, doubt: decision.QueryAmbiguous},
		"of the path":               {path: "/a;token={key}", doubt: decision.PathAmbiguous},
		"of the path, encoded":      {path: "/a%3Btoken=x/b", doubt: decision.PathAmbiguous},
		"of the path, and another":  {path: "/a;b=c/d", query: "a", rest: "a"},
		"the key in the path, too":  {path: "/{key}", query: "token={key}", form: decision.WellFormed, location: decision.InQuery, doubt: decision.PathAmbiguous},
		"the query in the path":     {path: "/token", query: "token", doubt: decision.PathAmbiguous},
		"another name":              {query: "tokens={key}&mytoken={key}", rest: "tokens={key}&mytoken={key}"},
	} {
		t.Run(name, func(t *testing.T) {
			fill := strings.NewReplacer("{key}", key, "{other}", other, "{escaped}", escaped).Replace
			got := keys.Read(nil, fill(c.path), fill(c.query))
			if got.RawQuery != fill(c.rest) || got.Credential.Form != c.form || got.Location != c.location || got.Doubt != c.doubt {
				t.Errorf("got %q, form %v, %v, %v", got.RawQuery, got.Credential.Form, got.Location, got.Doubt)
			}
			if c.form == decision.WellFormed && got.Credential.Digest != keyformat.DigestOf(key) {
				t.Error("the digest of something else")
			}
			var usual *credential.Locations
			if got := usual.Read(nil, fill(c.path), fill(c.query)); got != (credential.Found{RawQuery: fill(c.query)}) {
				t.Errorf("without the flag: %+v", got)
			}
		})
	}
}

// TestTokens: tokens of signed URLs are looked for with and without further places for keys, and are never left.
func TestTokens(t *testing.T) {
	key := mint(t)
	token, err := urltoken.Sign(key, urltoken.Claims{Project: "default", Path: "/", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header http.Header
		path   string
		query  string // {token} and {key} stand for the texts

		rest     string
		form     decision.Form
		location decision.Location
		doubt    decision.Code
		own      bool
		unread   bool // there is no Token
	}{
		"alone":                {query: "keyward-token={token}", form: decision.SignedURL, location: decision.InSignedURL},
		"bytes of others stay": {query: "&a=%2b+%20&&keyward-token={token}&=&%zz", rest: "&a=%2b+%20&&=&%zz", form: decision.SignedURL, location: decision.InSignedURL},
		"empty":                {query: "keyward-token=&a", rest: "a", form: decision.SignedURL, location: decision.InSignedURL, unread: true},
		"changed":              {query: "keyward-token={token}A", form: decision.SignedURL, location: decision.InSignedURL, unread: true},
		"twice": {query: "keyward-token={token}&keyward-token={token}", form: decision.SignedURL, location: decision.InSignedURL,
			unread: true},
		"the query in the path": {path: "/keyward-token=x", query: "keyward-token=x", form: decision.SignedURL, location: decision.InSignedURL,
			doubt: decision.PathAmbiguous, unread: true},
		"another spelling": {query: "Keyward-Token={token}", rest: "Keyward-Token={token}", unread: true},
		"and a key": {header: http.Header{"X-Api-Key": {key}}, query: "a&keyward-token={token}", rest: "a", form: decision.Malformed,
			location: decision.InSignedURL, unread: true},
		"and a key as a Bearer": {header: http.Header{"Authorization": {"Bearer " + key}}, query: "keyward-token={token}",
			form: decision.Malformed, location: decision.InSignedURL, unread: true},
		"and a session": {header: http.Header{"Authorization": {"Bearer " + jwt}}, query: "keyward-token={token}", form: decision.SignedURL,
			location: decision.InSignedURL, own: true},
		"and another scheme": {header: http.Header{"Authorization": {"Digest x=y"}}, query: "keyward-token={token}", form: decision.SignedURL,
			location: decision.InSignedURL, own: true},
		"and an opaque token": {header: http.Header{"Authorization": {"Bearer legacy/platform+0123456789"}}, query: "keyward-token={token}",
			form: decision.Malformed, location: decision.InSignedURL, unread: true},
		"and an empty key": {header: http.Header{"X-Api-Key": {""}}, query: "keyward-token={token}", form: decision.SignedURL,
			location: decision.InSignedURL},
		"and two lines": {header: http.Header{"X-Api-Key": {key, key}}, query: "keyward-token={token}", form: decision.Malformed,
			location: decision.InSignedURL, unread: true},
	} {
		t.Run(name, func(t *testing.T) {
			fill := strings.NewReplacer("{key}", key, "{token}", token).Replace
			for _, l := range []*credential.Locations{nil, keys} {
				got := l.Read(c.header, c.path, fill(c.query))
				if got.RawQuery != fill(c.rest) || got.Credential.Form != c.form || got.Location != c.location || got.Doubt != c.doubt ||
					got.OwnAuthorization != c.own || (got.Token == nil) != c.unread {
					t.Errorf("got %q, form %v, %v, %v, own %v, token %v", got.RawQuery, got.Credential.Form, got.Location, got.Doubt,
						got.OwnAuthorization, got.Token)
				}
			}
		})
	}
	got := keys.Read(nil, "/x", "token="+key+"&keyward-token="+token+"&a")
	if got.Credential.Form != decision.Malformed || got.RawQuery != "a" || got.Location != decision.InQuery {
		t.Errorf("a key beside it: form %v, %v, %q", got.Credential.Form, got.Location, got.RawQuery)
	}
}

func TestHeaders(t *testing.T) {
	key, other := mint(t), mint(t)
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	const imported = "legacy/platform+0123456789"
	for name, c := range map[string]struct {
		header http.Header
		query  string
		form   decision.Form
		own    bool
		in     string // Header
	}{
		"a header of its own":      {header: http.Header{"Ocp-Apim-Subscription-Key": {key}}, form: decision.WellFormed, in: "Ocp-Apim-Subscription-Key"},
		"the same in two":          {header: http.Header{"Ocp-Apim-Subscription-Key": {key}, "X-Api-Key": {key}}, form: decision.WellFormed, in: "Ocp-Apim-Subscription-Key"},
		"different in two":         {header: http.Header{"Ocp-Apim-Subscription-Key": {key}, "X-Api-Key": {other}}, form: decision.Malformed},
		"two lines":                {header: http.Header{"Ocp-Apim-Subscription-Key": {key, key}}, form: decision.Malformed},
		"empty":                    {header: http.Header{"Ocp-Apim-Subscription-Key": {""}}},
		"a scheme":                 {header: http.Header{"Authorization": {"apikey " + key}}, form: decision.WellFormed},
		"a scheme alone":           {header: http.Header{"Authorization": {"ApiKey"}}, form: decision.Malformed},
		"another scheme":           {header: http.Header{"Authorization": {"Token " + key}}, own: true},
		"basic":                    {header: http.Header{"Authorization": {basic(key + ":")}}, form: decision.WellFormed},
		"basic, imported":          {header: http.Header{"Authorization": {basic(imported + ":")}}, form: decision.Foreign},
		"basic, with a password":   {header: http.Header{"Authorization": {basic(key + ":x")}}, own: true},
		"basic, as the password":   {header: http.Header{"Authorization": {basic("x:" + key)}}, own: true},
		"basic, two colons":        {header: http.Header{"Authorization": {basic(key + "::")}}, own: true},
		"basic, not a key":         {header: http.Header{"Authorization": {basic("admin:")}}, own: true},
		"basic and the same":       {header: http.Header{"Authorization": {basic(key + ":")}, "X-Api-Key": {key}}, form: decision.WellFormed},
		"basic and another":        {header: http.Header{"Authorization": {basic(key + ":")}, "X-Api-Key": {other}}, form: decision.Malformed},
		"basic of the app":         {header: http.Header{"Authorization": {basic(imported + ":")}, "X-Api-Key": {other}}, form: decision.WellFormed, own: true},
		"a JWT of the app":         {header: http.Header{"Authorization": {"Bearer " + jwt}, "X-Api-Key": {key}}, form: decision.WellFormed, own: true},
		"an encrypted JWT":         {header: http.Header{"Authorization": {"Bearer " + jwt + ".a.b"}, "X-Api-Key": {key}}, form: decision.WellFormed, own: true},
		"a JWT, two lines":         {header: http.Header{"Authorization": {"Bearer " + jwt, "Bearer " + jwt}, "X-Api-Key": {key}}, form: decision.Malformed},
		"a JWT, joined":            {header: http.Header{"Authorization": {"Bearer " + jwt + ",Bearer " + jwt}, "X-Api-Key": {key}}, form: decision.Malformed},
		"not quite a JWT":          {header: http.Header{"Authorization": {"Bearer e30.e30.x"}, "X-Api-Key": {key}}, form: decision.Malformed},
		"an opaque token":          {header: http.Header{"Authorization": {"Bearer " + imported}, "X-Api-Key": {key}}, form: decision.Malformed},
		"a JWT alone":              {header: http.Header{"Authorization": {"Bearer " + jwt}}, form: decision.Foreign},
		"a JWT and the query":      {header: http.Header{"Authorization": {"Bearer " + jwt}}, query: "token={key}", form: decision.WellFormed, own: true},
		"the key and the query":    {header: http.Header{"Authorization": {"Bearer " + key}}, query: "token={key}", form: decision.WellFormed},
		"another and the query":    {header: http.Header{"Authorization": {"Bearer " + other}}, query: "token={key}", form: decision.Malformed},
		"a protocol":               {header: http.Header{"Sec-Websocket-Protocol": {"chat, keyward.key." + key}}, form: decision.WellFormed, in: "Sec-Websocket-Protocol"},
		"a protocol, in two lines": {header: http.Header{"Sec-Websocket-Protocol": {"chat", "KEYWARD.key." + key}}, form: decision.WellFormed, in: "Sec-Websocket-Protocol"},
		"two protocols":            {header: http.Header{"Sec-Websocket-Protocol": {"keyward.key." + key + ",keyward.key." + key}}, form: decision.Malformed},
		"behind a space":           {header: http.Header{"Sec-Websocket-Protocol": {"chat keyward.key." + key}}, form: decision.Malformed},
		"behind a wide space":      {header: http.Header{"Sec-Websocket-Protocol": {"chat,\u00a0Keyward.Key." + key}}, form: decision.Malformed},
		"an empty protocol":        {header: http.Header{"Sec-Websocket-Protocol": {"keyward.key."}}, form: decision.Malformed},
		"other protocols":          {header: http.Header{"Sec-Websocket-Protocol": {"chat, keyward, keyward.keys.x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := keys.Read(c.header, "/x", strings.ReplaceAll(c.query, "{key}", key))
			if got.Credential.Form != c.form || got.OwnAuthorization != c.own {
				t.Errorf("form %v, own %v", got.Credential.Form, got.OwnAuthorization)
			}
			if got.Credential.Form == decision.WellFormed && got.Header != c.in {
				t.Errorf("in %q", got.Header)
			}
		})
	}
}

func TestOffer(t *testing.T) {
	for offered, want := range map[string]credential.Offer{
		"chat":                               {},
		"keyward.key.K":                      {Changed: true, Select: "keyward.key.K"},
		"keyward, keyward.key.K":             {Changed: true, Select: "keyward"},
		"keyward.key.K,chat , soap":          {Changed: true, Pass: "chat, soap"},
		"chat, keyward, Keyward.Key.K, soap": {Changed: true, Pass: "chat, soap", Select: "keyward"},
		"keyward":                            {Changed: true, Select: "keyward"},
		"keyward.key":                        {},
	} {
		if got := credential.OfferOf(http.Header{"Sec-Websocket-Protocol": {offered}}); got != want {
			t.Errorf("%q: %+v", offered, got)
		}
	}
}

func TestReferer(t *testing.T) {
	for referer, want := range map[string]string{
		"https://a.example/x?token=K&a=b#c": "https://a.example/x?a=b#c",
		"https://a.example/x?token=K":       "https://a.example/x",
		"https://a.example/x?a=b":           "https://a.example/x?a=b",
		"https://a.example/x?Token=K&a=b":   "https://a.example/x",
		"https://a.example/x;token=K/y?a":   "https://a.example/",
		"https://a.example/":                "https://a.example/",
		"":                                  "",
		"about:blank":                       "about:blank",
		"?token=K":                          "",
	} {
		if got := keys.CutReferer(referer); got != want {
			t.Errorf("%q: %q, want %q", referer, got, want)
		}
	}
	for referer, want := range map[string]string{
		"https://a.example/x?keyward-token=T&a=b#c":  "https://a.example/x?a=b#c",
		"https://a.example/x?keyward-token=T":        "https://a.example/x",
		"https://a.example/x?Token=K":                "https://a.example/x?Token=K",
		"https://a.example/x;y?keyward-token=T&a;b":  "https://a.example/x;y?a;b",
		"https://a.example/keyward-token=?a":         "https://a.example/keyward-token=?a",
		"https://a.example/a=b?a=b&keyward-token=T":  "https://a.example/a=b?a=b",
		"https://a.example/?a#/?keyward-token=T&b=c": "https://a.example/?a#/?keyward-token=T&b=c",
	} {
		var usual *credential.Locations
		if got := usual.CutReferer(referer); got != want {
			t.Errorf("without the flag, %q: %q, want %q", referer, got, want)
		}
	}
}

// FuzzQuery: what is left of a query has no parameter of keys for any reader that splits at '&', with or without ';', and
// decodes once or twice; and the bytes of all others are as sent.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"token=K", "a&token=K&b", "%74oken=K", "a;token=K", "Token=K", "token[]=K", "&&token=K&&", "%2574oken=K",
		"to%6ben=K&x", "token%00=K", "token=K&token=K", "\xff&token=K", "[token]=K", "+token=K", "?token=K"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rawQuery string) {
		got := keys.Read(nil, "/x", rawQuery)
		left := strings.Split(got.RawQuery, "&")
		if got.RawQuery == "" {
			left = nil
		}
		i := 0
		for _, segment := range strings.Split(rawQuery, "&") {
			if i < len(left) && left[i] == segment {
				i++
			}
		}
		if i != len(left) {
			t.Fatalf("%q became %q", rawQuery, got.RawQuery)
		}
		if got.Doubt != decision.Allowed {
			return
		}
		for _, segment := range strings.FieldsFunc(got.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
			name, _, _ := strings.Cut(segment, "=")
			for range 2 {
				if strings.EqualFold(name, "token") || strings.EqualFold(name, "api_key") {
					t.Fatalf("%q is left of %q", got.RawQuery, rawQuery)
				}
				decoded, err := url.QueryUnescape(name)
				if err != nil {
					break
				}
				name = decoded
			}
		}
	})
}

// FuzzProtocols: no key is left for any reader, and what may be selected was offered.
func FuzzProtocols(f *testing.F) {
	for _, seed := range []string{"keyward.key.K", "chat, keyward.key.K", "keyward,KEYWARD.KEY.K,,", "\tkeyward.key.", "a,b",
		"chat,\u00a0keyward.key.K", "chat keyward.key.K", `chat, "keyward.key.K"`, "chat;keyward.key.K"} {
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, line, another string) {
		lines := []string{line, another}
		offer := credential.OfferOf(http.Header{"Sec-Websocket-Protocol": lines})
		if !offer.Changed {
			offer.Pass = strings.Join(lines, ",")
		}
		// Content servers split the list in other ways, too: at spaces, with all spaces of Unicode around names, or with quotes.
		if strings.Contains(strings.ToLower(offer.Pass), "keyward.key.") {
			t.Fatalf("%q passes on %q", lines, offer.Pass)
		}
		if read := credential.OfferOf(http.Header{"Sec-Websocket-Protocol": {offer.Pass}}); read.Changed {
			t.Fatalf("%q passes on %q, in which there is more: %+v", lines, offer.Pass, read)
		}
		if offer.Select != "" && !strings.Contains(strings.ToLower(line+","+another), strings.ToLower(offer.Select)) {
			t.Fatalf("%q selects %q", lines, offer.Select)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	header := http.Header{"Authorization": {"Bearer " + mint(b)}}
	for name, l := range map[string]*credential.Locations{"usual": nil, "configured": keys} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Read(header, "/api/scenes/1", "a=b&c=d")
			}
		})
	}
}
