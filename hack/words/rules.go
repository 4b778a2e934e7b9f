package main

import (
	"regexp"
	"strings"
)

// rule is a word that was dropped, and the one that is used instead.
type rule struct {
	name    string
	instead string
	names   *regexp.Regexp // matches the words of a name, in lower case; nil if only prose is checked
	prose   *regexp.Regexp // matches comments, messages and documents; nil if only names are checked
}

// words is a rule for words that are dropped both from names and from prose.
func words(pattern, instead string) rule {
	return rule{name: readable(pattern), instead: instead, names: whole(pattern), prose: whole(pattern)}
}

// named is a rule for words that are dropped from names only.
func named(pattern, instead string) rule {
	return rule{name: readable(pattern) + " (in names)", instead: instead, names: whole(pattern)}
}

// readable returns a pattern as it is shown to people.
func readable(pattern string) string { return strings.ReplaceAll(pattern, "(?:", "(") }

// phrase is a rule for words that are dropped from prose only.
func phrase(name, pattern, instead string) rule {
	return rule{name: name, instead: instead, prose: whole(pattern)}
}

// whole matches a pattern between the boundaries of words, in upper or lower case. A space is any white space.
func whole(pattern string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(?:` + regexp.MustCompile(` `).ReplaceAllLiteralString(pattern, `\s+`) + `)\b`)
}

// rules are the dropped words. The table of terms that are used is docs/glossary.md.
var rules = []rule{
	words("doors?", `"integration"`),
	words("gates?", `"authorizer"`),
	words("framing", `"the strict HTTP/1 reader"`),
	words("violations?", `"protocol error"`),
	words("nonsense", `"poison bytes", "invalid"`),
	words("answerers?", `"fast path", "fast-path handler"`),
	words("questions?", `"request"; for what is plain: "fast-path request"`),
	words("exchanges?", `"request context", "request and response"`),
	words("httpwire", `"httpapi"`),
	words("headroom", `"GC tuner"`),
	words("dialects?", `"proxy profile"`),
	words("tellers?", `"reporter"`),
	phrase("hears of", "(?:hears?|heard|hearing) of", `"is notified of", "receives"`),
	phrase("is told", "(?:is|are|was|were|be|been|being) told(?: (?:of|about|that|so|by|to|which|how|when|what|where))?",
		`"is notified", "is reported", "gets"`),
	named("told|tells?", `"reported", "report", "notify"`),
	named("li(?:fe|ves)", `"incarnation" of a server, "lifecycle" of a key`),
	phrase("life of a server",
		"(?:life|lives) of (?:an?|the|this|that|one|another) (?:server|validator|process|instance)|"+
			"(?:server|validator|process|instance)'?s'? (?:life|lives)|"+
			"(?:this|another|all|earlier|former|new|one|a) (?:life|lives)|life of (?:it|its|his|theirs?)",
		`"incarnation" of a server, "lifecycle" of a key`),
	named("away", `"disconnected", "unreachable"`),
	phrase("is away", "(?:is|are|was|were|be|been|being) away|servers? away", `"is disconnected", "is unreachable"`),
	phrase("lost server", "lost servers?|servers? (?:that )?(?:is|are|was|were) lost", `"expired server"`),
	named("places|makes? place", `"key slots" of a Group; "evict" for a place that is made`),
	phrase("place of a key",
		"(?:takes?|took|taken|taking|has|have|had) (?:an?|one of the) places?|(?:waits?|waiting) for (?:an? )?places?|"+
			"(?:makes?|made|making) place|places (?:are|is) (?:taken|free|left)|free places?",
		`"key slot", "reserved", "queued"; "evict" for a place that is made`),
	phrase("held texts", "held texts?|texts? (?:that )?(?:is|are) held", `"pending plaintexts"`),
	words("held up", `"blocked", "delayed"`),
	named("brings?", `"publishAndDeliver", "move", "update"`),
	words("conceal(?:s|ed|ing)?", `"deleteSecret", "delete"`),
	words("settle[sd]?|settling", `"startup grace", "advance" or "persist"`),
	words("books?", `"quota tracker"`),
	words("standings?", `"rate-limit status"`),
	named("accounts?", `"counters"`),
	words("remed(?:y|ies|ied)", `"hint"`),
	words("mend(?:s|ed|ing|able)?", `"fix"; as a noun "hint"`),
	words("hunger|hungry", `"wantsMore"`),
	words("fell silent|fall(?:s|en)? silent", `"is unresponsive", "markUnresponsive"`),
	words("warmth", `"cacheWarmer"`),
	words("after open", `"waitUntilPublished"`),
	words("floors?", `"baseline"`),
	words("dear(?:er|est)?", `"expensive"`),
	phrase("now and then", "now and then", `"periodically", "from time to time"`),
	phrase("let through", `let(?:s|ting)?(?:\s+[\w*/'-]+){0,4}? through`, `"allow"`),
	phrase("by itself", "by (?:itself|themselves|himself|herself|oneself)", `"automatically", "on its own"`),
	phrase("whatever", "whatever", `"any", "regardless of", "what"`),
	words("anew|lest|hence|whence|thence|thereof|whilst|nought|amiss", `"again", "so that … not": no archaic words`),
	phrase("is whether", "(?:is|are|tells?|telling|told) whether", `"reports whether"`),
}
