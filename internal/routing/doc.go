// Package routing is the language of routes: which requests belong to a project, and which
// ones a permission allows. The manager compiles routes to refuse bad ones and to report
// ties; validation servers compile them to match.
//
// Inside one route every given part must match; of each part, any one value.
//
//	method   exact and uppercase
//	host     exact, or *.suffix for every subdomain at any depth; compared in lowercase,
//	         without port and without a dot at the end
//	path     '*' is any run of characters within one segment (not the empty one where it
//	         is the whole segment); '/**' at the end is the subtree, with the path itself
//	query    the parameter must be present, and every value that it is given must be listed
//
// Where several routes match, the most specific one wins, in the order of the Gateway API
// (HTTPRouteRule): the host, then the length of the literal path, then the number of
// query parameters.
package routing
