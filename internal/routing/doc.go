// Package routing defines routes: which requests belong to a project, and which
// requests a permission allows. The manager compiles routes to refuse invalid ones and to report
// ties; validation servers compile them to match requests.
//
// Within one route every part that is given must match, with any one of its values.
//
//	method   exact and uppercase
//	host     exact, or *.suffix for every subdomain at any depth; compared in lowercase,
//	         without port and without a dot at the end
//	path     '*' matches any characters within one segment (at least one where it
//	         is the whole segment); '/**' at the end matches the subtree, and the path itself
//	query    the parameter must be present, and every value that the request gives it must be listed
//
// Where several routes match, the most specific one wins, in the order of the Gateway API
// (HTTPRouteRule): the host, then the length of the literal path, then the number of
// query parameters.
package routing
