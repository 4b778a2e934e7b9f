package origin

import "strings"

// Near explains to a person why a pattern does not allow an origin although it looks as if it did. It returns "" if the
// pattern allows the origin, or has little to do with it.
func (p Pattern) Near(o Origin) string {
	host, others := p.matchesHost(o.Host), p.matchesOthers(o)
	switch {
	case p.host == "" || host && others:
		return ""
	case host && p.scheme == "" && isWeb(o.Scheme) || host && p.scheme == o.Scheme:
		return "it is for another port: a port that is not the scheme's default has to be listed, as in " + withPort(o)
	case host:
		return "it is for another scheme: without http:// or https:// in front it would be for both of these"
	case !others:
		return ""
	}
	below := strings.HasSuffix(o.Host, "."+p.host)
	switch {
	case (p.wildcard || p.label != "") && o.Host == p.host:
		return "it is for subdomains: list " + p.host + ", too"
	case p.label != "" && below && strings.Count(o.Host, ".") > strings.Count(p.host, ".")+1:
		return "its '*' is for a part of one label, without a dot"
	case p.label != "" && below:
		return "the first label of the host is another"
	case below && p.IsWeb():
		return "it is for that host alone: *." + p.host + " would be for its subdomains"
	case strings.HasSuffix(p.host, "."+o.Host):
		return "it is for that host alone, not for " + o.Host
	default:
		return ""
	}
}

// withPort writes the host of an origin with its port.
func withPort(o Origin) string {
	if text := o.String(); strings.HasSuffix(text, o.Host) {
		return o.Host
	}
	return strings.TrimPrefix(o.String(), o.Scheme+"://")
}
