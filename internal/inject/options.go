package inject

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// option is a flag of the validation server that annotations may set.
type option struct {
	valid func(value string) bool
	// example is a value of it, for messages.
	example string
}

// flags are those that annotations may set: not those by which a sidecar would no longer be one, such as addresses and files.
// Values are checked as the validation server does, which would otherwise not start. A test compares both.
var flags = map[string]option{
	"client-address-header":          {oneOf("X-Forwarded-For", "Forwarded"), "Forwarded"},
	"idle-timeout":                   {atLeast(time.Nanosecond), "2m"},
	"ignore-path-case":               {oneOf("true", "false"), "true"},
	"keep-credential":                {oneOf("true", "false"), "true"},
	"key-query-parameter":            {isParameter, "token"},
	"log-level":                      {oneOf("debug", "info", "warn", "error"), "debug"},
	"max-connections":                {between(0, 1<<20), "4096"},
	"max-failures-per-minute":        {between(0, 1<<30), "60"},
	"max-header-bytes":               {between(4<<10, 1<<20), "65536"},
	"max-public-requests-per-minute": {between(0, 1<<30), "600"},
	"max-staleness":                  {atLeast(0), "1h"},
	"on-stale":                       {oneOf("allow", "deny"), "deny"},
	"path-parameters":                {oneOf("allow", "deny"), "allow"},
	"principal-audience":             {isClaim, "keyward.dev/content"},
	"principal-issuer":               {isClaim, "keyward.dev"},
	"proxy-protocol":                 {oneOf("true", "false"), "true"},
	"read-header-timeout":            {atLeast(time.Nanosecond), "10s"},
	"throttle-ipv6-prefix":           {between(1, 128), "64"},
	"trusted-proxies":                {isPrefixes, "10.0.0.0/8,2001:db8::/32"},
	"upstream-timeout":               {atLeast(0), "1m"},
	"usage-interval":                 {atLeast(time.Second), "10s"},
}

// OptionNames are the flags that AnnotationOptions may have.
func OptionNames() []string { return slices.Sorted(maps.Keys(flags)) }

func oneOf(values ...string) func(string) bool {
	return func(value string) bool { return slices.Contains(values, value) }
}

func atLeast(least time.Duration) func(string) bool {
	return func(value string) bool {
		d, err := time.ParseDuration(value)
		return err == nil && d >= least
	}
}

func between(least, most int) func(string) bool {
	return func(value string) bool {
		n, err := strconv.Atoi(value)
		return err == nil && n >= least && n <= most && strconv.Itoa(n) == value
	}
}

func isParameter(value string) bool {
	const longest = 32
	return value != "" && len(value) <= longest && !strings.ContainsFunc(value, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func isPrefixes(value string) bool {
	for one := range strings.SplitSeq(value, ",") {
		if _, err := netip.ParsePrefix(one); err != nil {
			return false
		}
	}
	return true
}

// options returns the flags of AnnotationOptions in the order of their names.
func (r *reader) options() (set []string) {
	path := annotationPath(v1alpha1.AnnotationOptions)
	values := map[string]string{}
	for i, word := range strings.Fields(r.get(v1alpha1.AnnotationOptions)) {
		if i == maxOptions {
			r.errs = append(r.errs, field.TooMany(path, i+1, maxOptions))
			return nil
		}
		name, value, found := strings.Cut(strings.TrimLeft(word, "-"), "=")
		known, exists := flags[name]
		switch {
		case !exists:
			r.errs = append(r.errs, field.NotSupported(path, shown(name), OptionNames()))
		case !found:
			r.errs = append(r.errs, field.Invalid(path, shown(word), fmt.Sprintf("write the value, too, such as %s=%s", name, known.example)))
		case !known.valid(value):
			r.errs = append(r.errs, field.Invalid(path, shown(word), fmt.Sprintf("write a value such as %s=%s", name, known.example)))
		default:
			if _, repeated := values[name]; repeated {
				r.errs = append(r.errs, field.Duplicate(path, name))
			}
			values[name] = value
			continue
		}
		values[name] = "" // what is wrong with it is said
	}
	r.checkTogether(path, values)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		set = append(set, name+"="+values[name])
	}
	return set
}

// checkTogether checks options that need others.
func (r *reader) checkTogether(path *field.Path, values map[string]string) {
	if _, has := values["trusted-proxies"]; values["proxy-protocol"] == "true" && !has {
		r.errs = append(r.errs, field.Invalid(path, "proxy-protocol=true",
			"add trusted-proxies with the addresses of the load balancers that use the protocol"))
	}
	if staleness, _ := time.ParseDuration(values["max-staleness"]); values["on-stale"] == "deny" && staleness == 0 {
		r.errs = append(r.errs, field.Invalid(path, "on-stale=deny", "add the time, such as max-staleness=1h"))
	}
}
