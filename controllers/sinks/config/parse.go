package config

import (
	stdjson "encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/internal/configfile"
)

type file struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	Sinks      []configfile.Fields `json:"sinks"`
}

// fileSink is a sink as it is written. The tag "for" says for which types a field is; without it, for all.
type fileSink struct {
	Name           string            `json:"name"`
	Type           Type              `json:"type"`
	URL            string            `json:"url"            for:"Webhook CloudEvents OTLP OpenMeter Stripe Lago"`
	Mode           Mode              `json:"mode"           for:"CloudEvents"`
	SecretFile     string            `json:"secretFile"     for:"Webhook CloudEvents"`
	SecretRef      configfile.Fields `json:"secretRef"      for:"Webhook CloudEvents"`
	HeadersFile    string            `json:"headersFile"    for:"Webhook CloudEvents OTLP OpenMeter Stripe Lago"`
	Events         []string          `json:"events"`
	Groups         configfile.Fields `json:"groups"`
	NotBefore      *time.Time        `json:"notBefore"`
	Batch          configfile.Fields `json:"batch"`
	Timeout        model.Duration    `json:"timeout"        for:"Webhook CloudEvents OTLP OpenMeter Stripe Lago"`
	TLS            configfile.Fields `json:"tls"            for:"Webhook CloudEvents OTLP OpenMeter Stripe Lago"`
	AllowAddresses []string          `json:"allowAddresses" for:"Webhook CloudEvents OTLP OpenMeter Stripe Lago"`
	Concurrency    *int              `json:"concurrency"    for:"Webhook CloudEvents Stripe"`
	Path           string            `json:"path"           for:"File"`
	Rotate         configfile.Fields `json:"rotate"         for:"File"`
	Values         Values            `json:"values"         for:"Stripe Lago"`
	MeterPrefix    *string           `json:"meterPrefix"    for:"Stripe Lago"`
}

type fileBatch struct {
	MaxEvents *int               `json:"maxEvents"`
	MaxBytes  *resource.Quantity `json:"maxBytes"`
	MaxDelay  *model.Duration    `json:"maxDelay"`
}

type fileTLS struct {
	CAFile     string `json:"caFile"`
	ServerName string `json:"serverName"`
}

type fileRotate struct {
	MaxBytes *resource.Quantity `json:"maxBytes"`
	Keep     *int               `json:"keep"`
}

// The bounds and defaults of numbers.
const (
	defaultEvents      = 100
	maxEvents          = 1000
	defaultBytes       = 256 << 10
	minBytes           = 1 << 10
	maxBytes           = 4 << 20
	defaultDelay       = time.Second
	maxDelay           = time.Minute
	defaultTimeout     = 10 * time.Second
	minTimeout         = time.Second
	maxTimeout         = time.Minute
	defaultConcurrency = 4
	maxConcurrency     = 16
	defaultRotateBytes = 100 << 20
	minRotateBytes     = 1 << 20
	maxRotateBytes     = 10 << 30
	defaultRotateKeep  = 5
	maxRotateKeep      = 100

	defaultMeterPrefix = "keyward_"

	maxPatterns  = 64
	maxPattern   = 128
	maxNetworks  = 32
	maxURL       = 2048
	minPrefix    = 8
	absolutePath = "write an absolute path"
)

const (
	nameHint        = "write 1 to 40 lower-case letters, digits and dashes, beginning with a letter and not ending with a dash"
	urlHint         = "write an absolute URL such as https://receiver.example.com/keyward, without a user, a password, or a fragment"
	plainHint       = "http:// is for networks in allowAddresses only; write https://, or list the network of the receiver there"
	addressHint     = "write a network such as 10.96.0.0/12, of a prefix of at least 8 bits"
	patternHint     = "write the type of an event, in which * is any run of characters, such as dev.keyward.key.*"
	byteHint        = "write a number of bytes such as 256Ki"
	durationHint    = "write a duration such as 10s"
	selectorHint    = "write a label selector such as {matchLabels: {audit: siem}}"
	secretRequired  = "requests of a Webhook are signed; name a file with a secret such as whsec_…, one in a line, or a Secret with secretRef"
	binaryUnsigned  = "a signature does not cover headers, where the mode Binary puts attributes; use the mode Batch, or remove it"
	prefixHint      = "write up to 40 letters, digits, dots, dashes and underscores"
	concurrencyHint = "it is for requests with one event: of Webhook, and of CloudEvents in the mode Binary"
)

var hints = map[string]string{
	"apiVersion": "write " + APIVersion, "kind": "write " + Kind, "sinks": "write a list of sinks, each an object",
	"name": nameHint, "type": "write one of Webhook, CloudEvents, OTLP, File and Stdout", "url": urlHint, "mode": "write Batch or Binary",
	"secretRef": refHint, "key": "write the key of the entry in the Secret", "secretFile": absolutePath, "headersFile": absolutePath, "path": absolutePath, "events": "write a list of types of events",
	"groups": selectorHint, "matchLabels": selectorHint, "matchExpressions": selectorHint,
	"notBefore": `write an instant such as "2026-11-27T00:00:00Z"`,
	"batch":     "write an object such as {maxEvents: 100, maxBytes: 256Ki, maxDelay: 1s}", "maxBytes": byteHint, "maxDelay": durationHint,
	"maxEvents": "write a number such as 100", "timeout": durationHint, "tls": "write an object such as {caFile: /etc/keyward/ca.crt}",
	"caFile": absolutePath, "serverName": "write the name in the certificate of the receiver", "allowAddresses": "write a list of networks",
	"concurrency": "write a number such as 4", "rotate": "write an object such as {maxBytes: 100Mi, keep: 5}", "keep": "write a number such as 5",
	"receivers": "write a list of receivers, each an object", "values": "write Delta or Cumulative", "meterPrefix": prefixHint,
}

var (
	prefixForm  = regexp.MustCompile(`^[A-Za-z0-9._-]{0,40}$`)
	nameForm    = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)
	patternForm = regexp.MustCompile(`^[-A-Za-z0-9._*]+$`)
)

func (f *file) sinks() ([]*Sink, field.ErrorList) { return parseAll(f.Sinks, "sinks", types) }

// parseAll reads a list of sinks of some types.
func parseAll(all []configfile.Fields, list string, types []Type) ([]*Sink, field.ErrorList) {
	var problems field.ErrorList
	if len(all) > MaxSinks {
		return nil, field.ErrorList{field.TooMany(field.NewPath(list), len(all), MaxSinks)}
	}
	sinks := make([]*Sink, 0, len(all))
	names, paths := map[string]bool{}, map[string]bool{}
	for i, written := range all {
		path := field.NewPath(list).Index(i)
		var name string
		if raw, has := written["name"]; has {
			_ = stdjson.Unmarshal(raw, &name) // or else Decode reports it
		}
		if !nameForm.MatchString(name) {
			problems = append(problems, field.Invalid(path.Child("name"), name, nameHint))
			written = maps.Clone(written)
			delete(written, "name")
		} else {
			if names[name] {
				problems = append(problems, &field.Error{
					Type: field.ErrorTypeDuplicate, Field: path.Child("name").String(), BadValue: name, Detail: "rename one, or remove it",
				})
			}
			path = field.NewPath(fmt.Sprintf("%s (%s)", path, name))
		}
		names[name] = true
		p := parser{path: path, written: written, types: types}
		sink := p.sink()
		if sink.Path != "" && paths[sink.Path] {
			p.invalid("path", sink.Path, "another sink appends to this file; name another one")
		}
		paths[sink.Path] = true
		sinks, problems = append(sinks, sink), append(problems, p.problems...)
	}
	return sinks, problems
}

// parser reads a sink, and collects what is wrong with it.
type parser struct {
	path     *field.Path
	types    []Type
	written  configfile.Fields
	problems field.ErrorList
}

func (p *parser) invalid(name string, value any, hint string) {
	path := p.path
	for part := range strings.SplitSeq(name, ".") {
		path = path.Child(part)
	}
	p.problems = append(p.problems, field.Invalid(path, value, hint))
}

func (p *parser) sink() *Sink {
	var w fileSink
	p.problems = configfile.Decode(&w, p.written, p.path, hints)
	unread := len(p.problems) > 0
	s := &Sink{
		Name: w.Name, Type: w.Type, Mode: w.Mode, SecretFile: w.SecretFile, HeadersFile: w.HeadersFile, Events: w.Events, Path: w.Path,
		Groups: labels.Everything(), Concurrency: 1,
	}
	if !slices.Contains(p.types, w.Type) {
		p.problems = append(p.problems, field.NotSupported(p.path.Child("type"), w.Type, p.types))
		return s
	}
	p.foreign(w.Type)
	if w.NotBefore != nil {
		s.NotBefore = *w.NotBefore
	}
	p.events(w.Events)
	p.groups(s, w.Groups)
	p.batch(s, w.Batch)
	p.values(s, &w)
	switch {
	case w.Type.OverHTTP():
		p.overHTTP(s, &w)
	case w.Type == File:
		p.file(s, &w)
	}
	if unread {
		return s // what is missing because it could not be read is not reported again
	}
	p.required(s, w.URL)
	return s
}

// foreign reports fields that are for other types.
func (p *parser) foreign(t Type) {
	for name, others := range fieldsOf(t, p.types) {
		if _, has := p.written[name]; has {
			hint := "it is for " + others + "; remove it"
			if others == "" {
				hint = "it is for receivers of another file; remove it"
			}
			p.problems = append(p.problems, field.Forbidden(p.path.Child(name), hint))
		}
	}
	slices.SortStableFunc(p.problems, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
}

func (p *parser) required(s *Sink, url string) {
	require := func(name, value, hint string) {
		if value == "" {
			p.problems = append(p.problems, field.Required(p.path.Child(name), hint))
		}
	}
	switch s.Type {
	case File:
		require("path", s.Path, absolutePath)
	case Webhook:
		if !p.has("secretRef") { // or else what is wrong with it is reported
			require("secretFile", s.SecretFile, secretRequired)
		}
	}
	if s.Type.OverHTTP() {
		require("url", url, urlHint)
	}
}

func (p *parser) events(patterns []string) {
	if len(patterns) > maxPatterns {
		p.problems = append(p.problems, field.TooMany(p.path.Child("events"), len(patterns), maxPatterns))
		return
	}
	for i, pattern := range patterns {
		if len(pattern) > maxPattern || !patternForm.MatchString(pattern) {
			p.problems = append(p.problems, field.Invalid(p.path.Child("events").Index(i), pattern, patternHint))
		}
	}
}

func (p *parser) groups(s *Sink, written configfile.Fields) {
	var selector metav1.LabelSelector
	path := p.path.Child("groups")
	problems := configfile.Decode(&selector, written, path, hints)
	if len(problems) == 0 {
		selects, err := metav1.LabelSelectorAsSelector(&selector)
		if err != nil {
			problems = append(problems, field.Invalid(path, field.OmitValueType{}, configfile.OneLine(err)+"; "+selectorHint))
		} else {
			s.Groups = selects
		}
	}
	p.problems = append(p.problems, problems...)
}

func (p *parser) batch(s *Sink, written configfile.Fields) {
	var w fileBatch
	p.problems = append(p.problems, configfile.Decode(&w, written, p.path.Child("batch"), hints)...)
	s.MaxEvents = number(p, "batch.maxEvents", w.MaxEvents, defaultEvents, 1, maxEvents)
	s.MaxBytes = p.bytes("batch.maxBytes", w.MaxBytes, defaultBytes, minBytes, maxBytes)
	s.MaxDelay = p.duration("batch.maxDelay", w.MaxDelay, defaultDelay, 0, maxDelay)
}

func (p *parser) overHTTP(s *Sink, w *fileSink) {
	p.allowed(s, w.AllowAddresses)
	if w.URL != "" {
		p.url(s, w.URL)
	}
	if s.Timeout = defaultTimeout; w.Timeout != 0 {
		s.Timeout = p.duration("timeout", &w.Timeout, defaultTimeout, minTimeout, maxTimeout)
	}
	var tls fileTLS
	p.problems = append(p.problems, configfile.Decode(&tls, w.TLS, p.path.Child("tls"), hints)...)
	s.CAFile, s.ServerName = tls.CAFile, tls.ServerName
	for name, path := range map[string]string{"secretFile": s.SecretFile, "headersFile": s.HeadersFile, "tls.caFile": s.CAFile} {
		if path != "" && !filepath.IsAbs(path) {
			p.invalid(name, path, absolutePath)
		}
	}
	if s.Type == CloudEvents && s.Mode == "" {
		s.Mode = Batch
	}
	if s.Mode != "" && !slices.Contains(modes, s.Mode) {
		p.problems = append(p.problems, field.NotSupported(p.path.Child("mode"), s.Mode, modes))
	}
	p.secretRef(s, w.SecretRef)
	for _, name := range []string{"secretFile", "secretRef"} {
		if s.Mode == Binary && p.has(name) {
			p.problems = append(p.problems, field.Forbidden(p.path.Child(name), binaryUnsigned))
		}
	}
	switch {
	case s.SingleEvents():
		s.Concurrency = number(p, "concurrency", w.Concurrency, defaultConcurrency, 1, maxConcurrency)
	case w.Concurrency != nil && s.Type == CloudEvents:
		p.problems = append(p.problems, field.Forbidden(p.path.Child("concurrency"), concurrencyHint))
	}
}

// url does not show what is wrong with it: it may contain a token.
func (p *parser) url(s *Sink, text string) {
	parsed, err := url.Parse(text)
	switch {
	case err != nil, len(text) > maxURL, parsed.Scheme != "https" && parsed.Scheme != "http", parsed.Hostname() == "", parsed.User != nil,
		parsed.Fragment != "":
		p.invalid("url", field.OmitValueType{}, urlHint)
	case parsed.Scheme == "http" && len(s.AllowAddresses) == 0:
		p.invalid("url", field.OmitValueType{}, plainHint)
	default:
		s.URL = parsed
	}
}

func (p *parser) allowed(s *Sink, networks []string) {
	path := p.path.Child("allowAddresses")
	if len(networks) > maxNetworks {
		p.problems = append(p.problems, field.TooMany(path, len(networks), maxNetworks))
		return
	}
	for i, text := range networks {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Bits() < minPrefix || prefix.Addr().Is4In6() || prefix != prefix.Masked() {
			p.problems = append(p.problems, field.Invalid(path.Index(i), text, addressHint))
			continue
		}
		s.AllowAddresses = append(s.AllowAddresses, prefix)
	}
}

func (p *parser) file(s *Sink, w *fileSink) {
	if s.Path != "" && !filepath.IsAbs(s.Path) {
		p.invalid("path", s.Path, absolutePath)
	}
	s.Path = filepath.Clean(s.Path)
	if w.Path == "" {
		s.Path = ""
	}
	var rotate fileRotate
	p.problems = append(p.problems, configfile.Decode(&rotate, w.Rotate, p.path.Child("rotate"), hints)...)
	s.RotateBytes = p.bytes("rotate.maxBytes", rotate.MaxBytes, defaultRotateBytes, minRotateBytes, maxRotateBytes)
	if s.RotateBytes < s.MaxBytes {
		p.invalid("rotate.maxBytes", quantity(s.RotateBytes), "it is less than batch.maxBytes; write more, or less there")
	}
	s.RotateKeep = number(p, "rotate.keep", rotate.Keep, defaultRotateKeep, 0, maxRotateKeep)
}

// values reads what is for billing engines.
func (p *parser) values(s *Sink, w *fileSink) {
	s.MeterPrefix = defaultMeterPrefix
	if w.MeterPrefix != nil {
		s.MeterPrefix = *w.MeterPrefix
	}
	if !prefixForm.MatchString(s.MeterPrefix) {
		p.invalid("meterPrefix", s.MeterPrefix, prefixHint)
	}
	if s.Values = w.Values; s.Values == "" {
		s.Values = Delta
	}
	if !slices.Contains(allValues, s.Values) {
		p.problems = append(p.problems, field.NotSupported(p.path.Child("values"), s.Values, allValues))
	}
	if s.Type == Lago {
		s.MaxEvents = min(s.MaxEvents, maxLagoEvents)
	}
}
