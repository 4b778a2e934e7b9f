package chart

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// namesEverywhere are values with %[1]s wherever a name is a value of its own.
const namesEverywhere = `
imageRegistry: '%[1]s'
imagePullSecrets: ['%[1]s']
watchNamespaces: ['%[1]s']
defaultTier: '%[1]s'
tiers: [{name: '%[1]s'}]
commonLabels: {a: '%[1]s'}
usageStore: {existingSecret: {name: '%[1]s', key: '%[1]s'}}
certificates: {source: CertManager, certManager: {issuerRef: {name: '%[1]s', kind: '%[1]s'}}}
webhooks: {clientCAConfigMap: '%[1]s'}
manager:
  serviceAccount: {name: '%[1]s', annotations: {a: '%[1]s'}}
  priorityClassName: '%[1]s'
  image: {tag: '%[1]s', repository: '%[1]s'}
  podLabels: {a: '%[1]s'}
monitoring: {serviceMonitor: {enabled: true}, dashboards: {enabled: true, namespace: '%[1]s'}, prometheusRule: {enabled: true}}
networkPolicy: {enabled: true}
validators:
  - name: '%[1]s'
    groups: ['%[1]s/%[1]s']
    serviceAccount: {name: '%[1]s1'}
    priorityClassName: '%[1]s'
    tls: {secretName: '%[1]s'}
    adminToken: {secretName: '%[1]s', key: '%[1]s'}
    principal: {secretName: '%[1]s', issuer: '%[1]s', audience: '%[1]s'}
    service: {trafficDistribution: '%[1]s'}
    upstream: {url: 'http://%[1]s', project: '%[1]s'}
    exposure:
      service: {loadBalancerClass: '%[1]s'}
      ingress: {enabled: true, className: '%[1]s', hosts: ['%[1]s']}
      httpRoute: {enabled: true, parentRefs: [{name: '%[1]s'}], hostnames: ['%[1]s']}
`

// TestNamesAreTexts: names that YAML would read as numbers, truths or nothing are texts wherever they are written.
func TestNamesAreTexts(t *testing.T) {
	const placeholder = "qqq"
	rendered := func(name string) objects {
		all := render(t, load(t), name, parseValues(t, fmt.Sprintf(namesEverywhere, name)))
		for _, d := range all.ofKind("Deployment") {
			delete(d.fields("spec", "template", "metadata", "annotations"), "checksum/configuration")
		}
		return all
	}
	usual := rendered(placeholder)
	for _, name := range []string{"1", "0123", "true", "no", "1e3", "null", "0x1f", "2026-01-01"} {
		all := rendered(name)
		if len(all) != len(usual) {
			t.Errorf("%s: %d objects, want %d", name, len(all), len(usual))
		}
		for _, o := range usual.sorted() {
			encoded, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			want := parse(t, []byte(strings.ReplaceAll(string(encoded), placeholder, name)))
			if diff := cmp.Diff(want, all[want.id()]); diff != "" {
				t.Errorf("%s: %s: %s", name, want.id(), diff)
			}
		}
	}
}
