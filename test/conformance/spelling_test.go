package conformance

import (
	"strings"

	"github.com/keyward-dev/keyward/server/decision"
)

// httpServers are the integrations whose own HTTP server refuses invalid hosts before anything is decided, by the
// prefixes of their names.
const httpServers = "reverseproxy|forwardauth, caddy"

// spellingTable has other spellings of what another project owns, as some kind of content server reads them.
var spellingTable = []testCase{
	// Spellings of the path.
	{name: "path of 8 KiB", guards: "paths at the bound refused", request: "- - /api/scenes/mkt-" + strings.Repeat("a", 8<<10-len("/api/scenes/mkt-")), headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "path beyond 8 KiB", guards: "paths that cost more than they can mean", request: "- - /api/scenes/mkt-" + strings.Repeat("a", 8<<10), headers: bearer("good"), want: decision.PathTooLong},
	{name: "path beyond 8 KiB, encoded", guards: "a path that is measured when it is decoded", request: "- - /api/scenes/mkt-" + strings.Repeat("%61", 4<<10), headers: bearer("good"), want: decision.PathTooLong},
	{name: "path beyond 8 KiB comes before the key", guards: "work for strangers on a path that nobody reads", request: "- - /" + strings.Repeat("//", 8<<10), want: decision.PathTooLong},
	{name: "preflight of a path beyond 8 KiB", guards: "tenants' patterns over endless paths", request: "OPTIONS - /" + strings.Repeat("a", 8<<10), headers: asks(acmePage, "GET"), preflight: true, readable: acmePage, want: decision.PathTooLong},
	{name: "a long query", guards: "long queries refused where no route looks at them", request: "- - /api/scenes/mkt-1?" + strings.Repeat("filter=x&", 2<<10), headers: bearer("good"), except: "aws", key: "good", owner: "marketing"},
	{name: "encoded parameter in a segment", guards: "servlet containers that decode first", request: "- - /api/scenes%3Bx/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "parameter behind the last segment", guards: "a session id that is read as the end of the path", request: "- - /api/scenes/mkt-1;jsessionid=1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a segment of a parameter", guards: "a segment that is empty once ';x' is off", request: "- - /api/;x/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a dot segment with an empty parameter", guards: "'.;' that is read as '.'", request: "- - /api/.;/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a dot at the end", guards: "Windows, which drops dots at the end of a name", request: "- - /api/scenes/mkt-1.", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "an encoded dot at the end", guards: "Windows behind a server that decodes", request: "- - /api/scenes/mkt-1%2e", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a dot at the end of a segment", guards: "Windows, which drops dots at the end of a folder", request: "- - /api/scenes./mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a segment of three dots", guards: "Windows, which reads '...' as '.'", request: "- - /api/.../scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a space at the end", guards: "Windows, which drops spaces at the end of a name", request: "- - /api/scenes/mkt-1%20", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a space at the end of a segment", guards: "Windows, which drops spaces at the end of a folder", request: "- - /api/scenes%20/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a space within a segment", guards: "names with a space refused", request: "- - /api/scenes/mkt-a%20b", except: "aws", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "a stream of a file", guards: "Windows, which reads 'x::$DATA' as x", request: "- - /api/scenes/mkt-1::$DATA", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a stream of a folder", guards: "Windows, which reads 'x:$I30:$INDEX_ALLOCATION' as x", request: "- - /api/scenes:$i30:$INDEX_ALLOCATION/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a fullwidth slash", guards: "Windows, which fits a fullwidth slash into an older code page", request: "- - /api/scenes/mkt-1%EF%BC%8Fx", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "fullwidth dots", guards: "servers that normalize to NFKC and then resolve '..'", request: "- - /api/%EF%BC%8E%EF%BC%8E/scenes/mkt-1", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "an encoded C1 control character", guards: "line ends beyond ASCII", request: "- - /api/scenes/mkt-1%C2%85", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a percent sign", guards: "a file with a percent sign in its name out of reach", request: "- - /api/scenes/mkt-100%25.pdf", except: "aws", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "a percent sign at the end", guards: "a name that ends in a percent sign out of reach", request: "- - /api/scenes/mkt-100%25", except: "aws", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "a percent sign in front of encoded digits", guards: "digits of a second encoding that are encoded themselves", request: "- - /api/scenes/mkt-%25%32%46x", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a percent sign in front of Microsoft's escape", guards: "%u002f, decoded at the second reading", request: "- - /api/scenes/mkt-%25u002fx", headers: bearer("good"), want: decision.PathAmbiguous},
	{name: "a slash at the end", guards: "'/x/' that frameworks read as '/x', falling to a wider project", request: "- - /docs/secret/", headers: bearer("reader"), want: decision.ProjectDenied},
	{name: "a slash at the end, by its project", guards: "the project of '/x' without what reads as '/x'", request: "- - /docs/secret/", headers: bearer("secretary"), key: "secretary", owner: "secret"},
	{name: "a slash that is missing", guards: "'/x' that frameworks read as '/x/', falling to a wider project", request: "- - /docs/folder", headers: bearer("reader"), want: decision.ProjectDenied},
	{name: "a slash behind a wildcard", guards: "'/x/1/' falling to a wider project than '/x/*'", request: "- - /docs/paper-1/", headers: bearer("reader"), want: decision.ProjectDenied},
	{name: "the wider project", guards: "the wider project losing what is nobody else's", request: "- - /docs/open/", headers: bearer("reader"), key: "reader", owner: "public"},
	{name: "a slash at the end is no grant", guards: "a capability that covers more than it names", request: "POST - /tenant/checkout/sessions/", headers: bearer("both"), want: decision.PermissionDenied},

	// Spellings of the query.
	{name: "query with a fragment", guards: "Node, which cuts the query at '#'", request: "- - /api/list?x=1#&siteId=42", headers: bearer("good"), except: "awsauthorizer, 1.0|" + verifyURL, want: decision.QueryAmbiguous},
	{name: "query with a fragment, nobody's route", guards: "a fragment where no route looks at the query", request: "- - /api/scenes/mkt-1?x=1#y", headers: bearer("good"), except: "awsauthorizer, 1.0|" + verifyURL, want: decision.QueryAmbiguous},
	{name: "query beyond ASCII", guards: "bytes that each decoder repairs differently", request: "- - /api/scenes/mkt-1?q=\u00e9", headers: bearer("good"), except: "awsauthorizer, 1.0", want: decision.QueryAmbiguous},
	{name: "query beyond ASCII comes before the key", guards: "a key asked for where nobody can read the request", request: "- - /?q=\u00e9", except: "awsauthorizer, 1.0", want: decision.QueryAmbiguous},
	{name: "preflight of a query beyond ASCII", guards: "preflights for queries that nobody can read", request: "OPTIONS - /api/scenes/mkt-1?q=\u00e9", headers: asks(acmePage, "GET"), except: "awsauthorizer, 1.0", preflight: true, readable: acmePage, want: decision.QueryAmbiguous},
	{name: "query with every other mark", guards: "marks refused that clients send as they are", request: "- - /api/scenes/mkt-1?a=|{}^`<>\"\\'()*~!$,@:/?[]", headers: bearer("good"), except: "aws", key: "good", owner: "marketing"},
	{name: "by query, a space in front", guards: "PHP, which drops spaces in front of a name", request: "- - /api/list?siteId=42&+siteId=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, an encoded space in front", guards: "PHP, which drops encoded spaces in front of a name", request: "- - /api/list?siteId=42&%20siteId=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, a list", guards: "PHP, Rack and Express, which read 'x[]' as x", request: "- - /api/list?siteId=42&siteId[]=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, an encoded list", guards: "brackets hidden by encoding", request: "- - /api/list?siteId=42&siteId%5B0%5D=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, in brackets", guards: "Rack, which reads '[x]' as x", request: "- - /api/list?siteId=42&[siteId]=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, in capitals", guards: "ASP.NET, which compares names without case", request: "- - /api/list?siteId=42&SITEID=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, a NUL behind", guards: "readers in C, to which a name ends at NUL", request: "- - /api/list?siteId=42&siteId%00x=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, encoded twice", guards: "readers behind a proxy, which decode a second time", request: "- - /api/list?siteId=42&%2573iteId=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, an ampersand of HTML", guards: "readers to which '&amp;' separates", request: "- - /api/list?siteId=42&amp;siteId=43", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, only by another name", guards: "another site's content by a name that only its server reads", request: "- - /api/list?siteId[]=42", headers: bearer("good"), want: decision.QueryAmbiguous},
	{name: "by query, a NUL behind the value", guards: "readers in C, to which a value ends at NUL", request: "- - /api/list?siteId=42%00", headers: bearer("good"), except: "awsauthorizer, 1.0", want: decision.QueryAmbiguous},
	{name: "by query, falling to a wider project", guards: "an ambiguous parameter that takes a request to a wider project", request: "- - /docs/list?site=1&site[]=2", headers: bearer("reader"), want: decision.QueryAmbiguous},
	{name: "by query, another parameter's list", guards: "lists refused that no route looks at", request: "- - /api/list?siteId=42&tags[]=a&tags[]=b", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "by query, the same value twice", guards: "a value repeated, which all read alike", request: "- - /api/list?siteId=42&siteId=42", headers: bearer("good"), key: "good", owner: "marketing"},

	// Spellings of the host. Hosts that every HTTP server refuses are for other integrations.
	{name: "host with a port of letters", guards: "hosts cut at the last colon, whatever follows", request: "- product.acme.example:x /api/scenes/mkt-1", headers: bearer("both"), want: decision.HostInvalid},
	{name: "host with an empty port", guards: "ports that are none, which some servers keep as part of the host", request: "- product.acme.example: /api/scenes/mkt-1", headers: bearer("both"), want: decision.HostInvalid},
	{name: "host with another one behind the colon", guards: "a second host behind the colon", request: "- product.acme.example:,other.example /api/scenes/mkt-1", headers: bearer("both"), want: decision.HostInvalid},
	{name: "host with an endless port", guards: "host ports that overflow", request: "- product.acme.example:65536 /api/scenes/mkt-1", headers: bearer("both"), want: decision.HostInvalid},
	{name: "host with two dots at the end", guards: "dots that are cut off one at a time", request: "- product.acme.example.. /api/scenes/mkt-1", headers: bearer("both"), want: decision.HostInvalid},
	{name: "two hosts", guards: "two hosts that a proxy has joined", request: "- product.acme.example,other.example /api/scenes/mkt-1", headers: bearer("both"), want: decision.HostInvalid},
	{name: "host that is encoded", guards: "hosts that only some decode", request: "- product%2eacme.example /api/scenes/mkt-1", headers: bearer("both"), want: decision.HostInvalid},
	{name: "host that is half an address", guards: "addresses of IPv4 that only some parse", request: "- 127.1 /api/scenes/mkt-1", headers: bearer("good"), want: decision.HostInvalid},
	{name: "host in brackets that is no address", guards: "anything in brackets taken for an address", request: "- [product.acme.example] /api/scenes/mkt-1", headers: bearer("both"), except: httpServers, want: decision.HostInvalid},
	{name: "host with a path", guards: "a path that is written behind the host", request: "- product.acme.example:/evil /api/scenes/mkt-1", headers: bearer("both"), except: httpServers + "|" + verifyURL, want: decision.HostInvalid},
	{name: "host beyond ASCII", guards: "hosts that each server translates differently", request: "- product.acme.example:\u00e9 /api/scenes/mkt-1", headers: bearer("both"), except: httpServers, want: decision.HostInvalid},
	{name: "invalid host comes before the key", guards: "a key asked for where nobody can say whose host it is", request: "- a..b /api/scenes/mkt-1", want: decision.HostInvalid},
	{name: "preflight of an invalid host", guards: "preflights for hosts that are none", request: "OPTIONS a..b -", headers: asks(acmePage, "GET"), preflight: true, readable: acmePage, want: decision.HostInvalid},
	{name: "host that is an address", guards: "addresses refused for being no names", request: "- 192.0.2.1:8443 /api/scenes/mkt-1", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "host that is an address of IPv6", guards: "addresses in brackets refused", request: "- [2001:db8::1]:8443 /api/scenes/mkt-1", headers: bearer("good"), key: "good", owner: "marketing"},
	{name: "host with an underscore", guards: "names in use inside of clusters refused", request: "- my_cdn.acme.example /api/scenes/mkt-1", headers: bearer("good"), key: "good", owner: "marketing"},
}
