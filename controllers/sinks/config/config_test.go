package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

const head = "apiVersion: config.keyward.dev/v1alpha1\nkind: SinksConfiguration\n"

func TestParse(t *testing.T) {
	c, err := config.Parse([]byte(head + `
sinks:
  - name: siem
    type: Webhook
    url: https://siem.example.com/hooks/keyward?tenant=1
    secretFile: /etc/keyward/sinks/siem
    headersFile: /etc/keyward/sinks/headers
    events: ["dev.keyward.key.*", dev.keyward.group.created.v1]
    groups: {matchLabels: {audit: siem}, matchExpressions: [{key: team, operator: Exists}]}
    notBefore: "2026-11-27T00:00:00Z"
    batch: {maxEvents: 10, maxBytes: 1Mi, maxDelay: 500ms}
    timeout: 1m
    tls: {caFile: /etc/keyward/ca.crt, serverName: siem}
    concurrency: 2
  - {name: broker, type: CloudEvents, url: "http://broker.events.svc/acme", allowAddresses: [10.96.0.0/12]}
  - {name: single, type: CloudEvents, mode: Binary, url: "https://broker.example.com"}
  - {name: collector, type: OTLP, url: "https://collector.example.com"}
  - {name: archive, type: File, path: /var/lib/keyward//events.jsonl, rotate: {maxBytes: 10Mi, keep: 0}}
  - {name: console, type: Stdout}
  - {name: signed, type: Webhook, url: "https://a.example.com", secretRef: {name: keyward-sinks, key: siem.v1}}
`))
	if err != nil {
		t.Fatal(err)
	}
	siem := c.Sinks[0]
	switch {
	case siem.URL.Host != "siem.example.com" || siem.SecretFile != "/etc/keyward/sinks/siem" || siem.HeadersFile != "/etc/keyward/sinks/headers",
		siem.MaxEvents != 10 || siem.MaxBytes != 1<<20 || siem.MaxDelay != 500*time.Millisecond || siem.Timeout != time.Minute,
		siem.CAFile != "/etc/keyward/ca.crt" || siem.ServerName != "siem" || siem.Concurrency != 2 || !siem.SingleEvents(),
		!siem.NotBefore.Equal(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)):
		t.Errorf("%+v", siem)
	}
	if !siem.Groups.Matches(labels.Set{"audit": "siem", "team": "a"}) || siem.Groups.Matches(labels.Set{"audit": "siem"}) {
		t.Errorf("%s", siem.Groups)
	}
	broker, single, collector, archive := c.Sinks[1], c.Sinks[2], c.Sinks[3], c.Sinks[4]
	if broker.Mode != config.Batch || broker.SingleEvents() || broker.MaxEvents != 100 || broker.MaxBytes != 256<<10 ||
		broker.MaxDelay != time.Second || broker.Timeout != 10*time.Second || broker.Concurrency != 1 || len(broker.AllowAddresses) != 1 ||
		!broker.Groups.Matches(nil) {
		t.Errorf("%+v", broker)
	}
	if !single.SingleEvents() || single.Concurrency != 4 || collector.SingleEvents() {
		t.Errorf("%+v, %+v", single, collector)
	}
	if archive.Path != "/var/lib/keyward/events.jsonl" || archive.RotateBytes != 10<<20 || archive.RotateKeep != 0 {
		t.Errorf("%+v", archive)
	}
	if signed := c.Sinks[6]; signed.SecretRef != (config.SecretRef{Name: "keyward-sinks", Key: "siem.v1"}) || signed.SecretFile != "" {
		t.Errorf("%+v", signed)
	}
	for _, text := range []string{head, head + "sinks: []\n", head + "sinks:\n"} {
		if c, err := config.Parse([]byte(text)); err != nil || len(c.Sinks) != 0 {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	webhook := func(text string) string {
		return head + "sinks: [{name: a, type: Webhook, url: 'https://a.example.com', secretFile: /s, " + text + "}]"
	}
	file := func(text string) string { return head + "sinks: [{name: a, type: File, path: /f, " + text + "}]" }
	cloudEvents := func(text string) string {
		return head + "sinks: [{name: a, type: CloudEvents, url: 'https://a.example.com', " + text + "}]"
	}
	many := head + "sinks:\n" + strings.Repeat("- {name: a, type: Stdout}\n", 17)
	for name, test := range map[string]struct{ text, says string }{
		"another kind":     {"apiVersion: v1\nkind: ManagerConfiguration\n", `apiVersion and kind: "v1" and "ManagerConfiguration" are not known; write`},
		"an unknown field": {webhook("retries: 3"), "sinks[0] (a).retries: Forbidden: unknown field; remove it, or correct its name"},
		"insecure TLS":     {webhook("tls: {insecureSkipVerify: true}"), "sinks[0] (a).tls.insecureSkipVerify: Forbidden: unknown field"},
		"a duplicate":      {webhook("timeout: 1s, timeout: 2s"), `key "timeout" already set in map; give it once`},
		"too many":         {many, "sinks: Too many: 17: must have at most 16 items"},
		"no name":          {head + "sinks: [{type: Stdout}]", `sinks[0].name: Invalid value: "": write 1 to 40 lower-case letters`},
		"a bad name":       {head + "sinks: [{name: A_b, type: Stdout}]", `sinks[0].name: Invalid value: "A_b": write 1 to 40`},
		"a name twice": {head + "sinks: [{name: a, type: Stdout}, {name: a, type: Stdout}]",
			`sinks[1].name: Duplicate value: "a": rename one, or remove it`},
		"no type":        {head + "sinks: [{name: a}]", `sinks[0] (a).type: Unsupported value: "": supported values: "Webhook"`},
		"another type":   {head + "sinks: [{name: a, type: Kafka}]", `sinks[0] (a).type: Unsupported value: "Kafka"`},
		"no URL":         {head + "sinks: [{name: a, type: OTLP}]", "sinks[0] (a).url: Required value: write an absolute URL"},
		"an empty URL":   {head + "sinks: [{name: a, type: OTLP, url: ''}]", "sinks[0] (a).url: Required value: write an absolute URL"},
		"no secret":      {head + "sinks: [{name: a, type: Webhook, url: 'https://a.example.com'}]", "sinks[0] (a).secretFile: Required value: requests"},
		"no path":        {head + "sinks: [{name: a, type: File}]", "sinks[0] (a).path: Required value: write an absolute path"},
		"a foreign path": {webhook("path: /f"), "sinks[0] (a).path: Forbidden: it is for File; remove it"},
		"a foreign URL": {file("url: 'https://a.example.com'"),
			"sinks[0] (a).url: Forbidden: it is for Webhook, CloudEvents, OTLP; remove it"},
		"plain HTTP": {head + "sinks: [{name: a, type: OTLP, url: 'http://collector.example.com'}]",
			"sinks[0] (a).url: Invalid value: http:// is for networks in allowAddresses only; write https://"},
		"another scheme":      {head + "sinks: [{name: a, type: OTLP, url: 'file:///etc/passwd'}]", "sinks[0] (a).url: Invalid value: write an absolute URL"},
		"a relative path":     {head + "sinks: [{name: a, type: File, path: f}]", `sinks[0] (a).path: Invalid value: "f": write an absolute path`},
		"a relative CA":       {webhook("tls: {caFile: ca.crt}"), `sinks[0] (a).tls.caFile: Invalid value: "ca.crt": write an absolute path`},
		"a relative header":   {webhook("headersFile: h"), `sinks[0] (a).headersFile: Invalid value: "h": write an absolute path`},
		"a bad pattern":       {webhook("events: ['dev.*', 'a b']"), `sinks[0] (a).events[1]: Invalid value: "a b": write the type of an event`},
		"patterns of nothing": {webhook("events: x"), `sinks[0] (a).events: Invalid value: "x": write a list of types`},
		"a bad selector":      {webhook("groups: {matchLabels: {'a b': c}}"), `sinks[0] (a).groups: Invalid value: key: Invalid value: "a b"`},
		"a selector of names": {webhook("groups: {names: [acme]}"), "sinks[0] (a).groups.names: Forbidden: unknown field"},
		"too large a batch":   {webhook("batch: {maxEvents: 1001}"), "sinks[0] (a).batch.maxEvents: Invalid value: 1001: write a whole number from 1 to 1000"},
		"too many bytes":      {webhook("batch: {maxBytes: 1G}"), `sinks[0] (a).batch.maxBytes: Invalid value: "1G": write a whole number of bytes from 1Ki to 4Mi, such as 256Ki`},
		"too long a delay":    {webhook("batch: {maxDelay: 1h}"), `sinks[0] (a).batch.maxDelay: Invalid value: "1h": write a duration from 0s to 1m`},
		"a delay of nothing":  {webhook("batch: {maxDelay: soon}"), `sinks[0] (a).batch.maxDelay: Invalid value: "soon": write a duration such as 10s`},
		"too short a timeout": {webhook("timeout: 10ms"), `sinks[0] (a).timeout: Invalid value: "10ms": write a duration from 1s to 1m`},
		"every address":       {webhook("allowAddresses: [0.0.0.0/0]"), `sinks[0] (a).allowAddresses[0]: Invalid value: "0.0.0.0/0": write a network such as`},
		"an address":          {webhook("allowAddresses: [10.0.0.1]"), `sinks[0] (a).allowAddresses[0]: Invalid value: "10.0.0.1": write a network`},
		"a host in a network": {webhook("allowAddresses: [10.0.0.1/8]"), `sinks[0] (a).allowAddresses[0]: Invalid value: "10.0.0.1/8": write a network`},
		"concurrent batches":  {cloudEvents("concurrency: 2"), "sinks[0] (a).concurrency: Forbidden: it is for requests with one event"},
		"a signed binary":     {cloudEvents("mode: Binary, secretFile: /s"), "sinks[0] (a).secretFile: Forbidden: a signature does not cover headers"},
		"a signed binary by a Secret": {cloudEvents("mode: Binary, secretRef: {name: s, key: k}"),
			"sinks[0] (a).secretRef: Forbidden: a signature does not cover headers"},
		"a file and a Secret":     {webhook("secretRef: {name: s, key: k}"), "sinks[0] (a).secretRef: Forbidden: secretFile is set, too; remove one of them"},
		"a Secret without a name": {cloudEvents("secretRef: {key: k}"), `sinks[0] (a).secretRef.name: Invalid value: "": write the name of a Secret`},
		"a Secret without a key":  {cloudEvents("secretRef: {name: s}"), `sinks[0] (a).secretRef.key: Invalid value: "": write the name of a Secret`},
		"a Secret of another one": {cloudEvents("secretRef: {name: s, key: k, namespace: n}"), "sinks[0] (a).secretRef.namespace: Forbidden: unknown field"},
		"a name that is a path":   {cloudEvents("secretRef: {name: ../s, key: k}"), `sinks[0] (a).secretRef.name: Invalid value: "../s"`},
		"a Secret for what has none": {head + "sinks: [{name: a, type: OTLP, url: 'https://a.example.com', secretRef: {name: s, key: k}}]",
			"sinks[0] (a).secretRef: Forbidden: it is for Webhook, CloudEvents; remove it"},
		"another mode":       {cloudEvents("mode: Structured"), `sinks[0] (a).mode: Unsupported value: "Structured": supported values: "Batch", "Binary"`},
		"rotation in a loop": {file("rotate: {maxBytes: 1Ki}"), `sinks[0] (a).rotate.maxBytes: Invalid value: "1Ki": write a whole number of bytes from 1Mi to 10Gi`},
		"a small rotation":   {file("rotate: {maxBytes: 1Mi}, batch: {maxBytes: 2Mi}"), `sinks[0] (a).rotate.maxBytes: Invalid value: "1Mi": it is less than batch.maxBytes`},
		"a file twice": {head + "sinks: [{name: a, type: File, path: /d/f}, {name: b, type: File, path: /d/../d/f}]",
			`sinks[1] (b).path: Invalid value: "/d/f": another sink appends to this file; name another one`},
		"a bad instant":     {webhook("notBefore: yesterday"), `sinks[0] (a).notBefore: Invalid value: "yesterday": write an instant such as`},
		"a second document": {head + "---\n" + head, "there is more than one document; write all in one, without ---"},
		"several at once": {head + "sinks: [{name: a, type: Webhook}, {name: b, type: File, path: f, keep: 1}]",
			`[sinks[0] (a).secretFile: Required value: requests of a Webhook are signed; name a file with a secret such as whsec_…, one in a line, or a Secret with secretRef, ` +
				`sinks[0] (a).url: Required value: `},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sinks.yaml")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load(path)
			if err == nil {
				t.Fatal("it is accepted")
			}
			if text := err.Error(); !strings.HasPrefix(text, path+": ") || !strings.Contains(text, test.says) || strings.Contains(text, "\n") {
				t.Error(text)
			}
		})
	}
}

// TestURLsAreNotShown: a URL may have a token in its path, its query or its user.
func TestURLsAreNotShown(t *testing.T) {
	for _, url := range []string{"https://user:TOKEN@a.example.com", "https://a.example.com/#TOKEN", "http://a.example.com/TOKEN", "TOKEN", "https://%zz/TOKEN"} {
		_, err := config.Parse(fmt.Appendf(nil, "%ssinks: [{name: a, type: OTLP, url: %q}]", head, url))
		if err == nil || strings.Contains(err.Error(), "TOKEN") || !strings.Contains(err.Error(), "sinks[0] (a).url: Invalid value") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestWants(t *testing.T) {
	for _, test := range []struct {
		patterns, eventType string
		wants               bool
	}{
		{"", "dev.keyward.key.rotated.v1", true},
		{"dev.keyward.key.rotated.v1", "dev.keyward.key.rotated.v1", true},
		{"dev.keyward.key.rotated", "dev.keyward.key.rotated.v1", false},
		{"dev.keyward.key.*", "dev.keyward.key.rotated.v1", true},
		{"dev.keyward.key.*", "dev.keyward.group.created.v1", false},
		{"*.v1", "dev.keyward.group.created.v1", true},
		{"*.created.*", "dev.keyward.group.created.v1", true},
		{"*.created.*.v1", "dev.keyward.group.created.v1", false},
		{"*", "anything", true},
		{"a*a", "a", false},
		{"a*b*a", "aba", true},
		{"a*b*a", "abba", true},
		{"a*b*a", "aab", false},
		{"x dev.*", "dev.a", true},
	} {
		sink := config.Sink{Events: strings.Fields(test.patterns)}
		if sink.Wants(test.eventType) != test.wants {
			t.Errorf("%+v", test)
		}
	}
}
