package chart

import (
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
)

// TestRefusals: wrong values are refused, by a message that names the value and says what would be right.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		values string
		says   []string
	}{
		"unknown value":             {`managr: {}`, []string{"additional properties 'managr' not allowed"}},
		"unknown value, deeper":     {`manager: {image: {tga: v1}}`, []string{"/manager/image", "'tga' not allowed"}},
		"unknown value of an entry": {`validators: [{name: a, upstraem: {}}]`, []string{"/validators/0", "'upstraem' not allowed"}},
		"unknown value in an entry": {`validators: [{name: a, upstream: {uri: x}}]`, []string{"/validators/0/upstream", "'uri' not allowed"}},
		"number for a text":         {`defaultTier: 1`, []string{"/defaultTier", "got number, want string"}},
		"text for a number":         {`manager: {replicas: two}`, []string{"/manager/replicas", "got string, want integer"}},
		"number in labels":          {`manager: {podLabels: {a: 1}}`, []string{"/manager/podLabels/a", "got number, want string"}},
		"unknown source":            {`certificates: {source: ACME}`, []string{"/certificates/source", "'Self', 'CertManager'"}},
		"entry without a name":      {`validators: [{}]`, []string{"/validators/0", "missing property 'name'"}},
		"name with a dot":           {`validators: [{name: a.b}]`, []string{"/validators/0/name", "does not match pattern"}},
		"Group without namespace":   {`validator: {groups: [acme]}`, []string{"/validator/groups/0", "does not match pattern"}},
		"digest that is a tag":      {`manager: {image: {digest: v1}}`, []string{"/manager/image/digest", "does not match pattern"}},
		"unknown limit":             {`tiers: [{name: A, limits: {key: 1}}]`, []string{"/tiers/0/limits", "'key' not allowed"}},
		"limit below zero":          {`tiers: [{name: A, limits: {keys: -1}}]`, []string{"/tiers/0/limits/keys", "want 0"}},
		"burst without a rate":      {`tiers: [{name: A, limits: {burst: 1}}]`, []string{"/tiers/0/limits", "requestsPerSecond"}},
		"limit of another resource": {`manager: {resources: {limit: {}}}`, []string{"/manager/resources", "'limit' not allowed"}},
		"argument without dashes":   {`manager: {extraArgs: [v=1]}`, []string{"/manager/extraArgs/0", "does not match pattern"}},

		"tier twice":           {`tiers: [{name: A}, {name: A}]`, []string{"tiers: A is there twice; rename one, or remove it"}},
		"default not in tiers": {`defaultTier: Gold`, []string{"there is no tier Gold in tiers, which has Free, Basic,", "add it, or name another"}},
		"two stores":           {`usageStore: {url: "redis://a", existingSecret: {name: b}}`, []string{"set url or existingSecret.name, not both"}},
		"both of a budget":     {`manager: {pdb: {maxUnavailable: 1}}`, []string{"set minAvailable or maxUnavailable"}},
		"none of a budget":     {`manager: {pdb: {minAvailable: ""}}`, []string{"set minAvailable or maxUnavailable, or enabled to false"}},
		"memory in bytes of old": {`manager: {resources: {limits: {memory: 1500m}}}`, []string{
			"resources.limits.memory: 1500m: write it with Mi or Gi"}},
		"validator twice": {`validators: [{name: a}, {name: a}]`, []string{"validators: a is there twice; give each a name of its own"}},
		"account twice": {`validators: [{name: a, serviceAccount: {name: x}}, {name: b, serviceAccount: {name: x}}]`, []string{
			"validators: b: another one has the ServiceAccount x"}},
		"namespace that is not watched": {`{watchNamespaces: [a], validators: [{name: b, namespaces: [c]}]}`, []string{
			"validators: b: the manager does not watch namespace c; add it to watchNamespaces"}},
		"Group that is not watched": {`{watchNamespaces: [a], validator: {groups: [c/acme]}}`, []string{
			"validators: default: the manager does not watch namespace c"}},
		"exposure of nothing": {`validator: {exposure: {ingress: {enabled: true, hosts: [a]}}}`, []string{
			"validators: default: exposure is for the reverse proxy; set upstream.url"}},
		"ingress without hosts": {`validator: {upstream: {url: "http://a"}, exposure: {ingress: {enabled: true}}}`, []string{
			"validators: default: exposure.ingress.hosts: name at least one host"}},
		"route without Gateways": {`validator: {upstream: {url: "http://a"}, exposure: {httpRoute: {enabled: true}}}`, []string{
			"validators: default: exposure.httpRoute.parentRefs: name at least one Gateway"}},
		"replicas the wrong way round": {`validator: {autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 2}}`, []string{
			"minReplicas is more than maxReplicas"}},
		"scaling by nothing": {`validator: {autoscaling: {enabled: true, targetCPUUtilizationPercentage: 0}}`, []string{
			"set targetCPUUtilizationPercentage or metrics"}},
		"field that has a value": {`manager: {extraPodSpec: {affinity: {}}}`, []string{
			"extraPodSpec: affinity: there is a value of its own for it"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := release(load(t), systemNamespace, parseValues(t, c.values))
			if err == nil {
				t.Fatal("it is accepted")
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

// TestDependency: another chart may depend on this one, and then Helm adds a value.
func TestDependency(t *testing.T) {
	if _, err := release(load(t), systemNamespace, parseValues(t, `global: {imageRegistry: a}`)); err != nil {
		t.Error(err)
	}
}

// TestLint: helm lint --strict has nothing to say, but for an icon, with the values of any feature.
func TestLint(t *testing.T) {
	for _, name := range features(t) {
		lint := action.NewLint()
		lint.Strict, lint.Namespace, lint.KubeVersion = true, namespaceOf(name), kubeVersion
		result := lint.Run([]string{chartDir}, readValues(t, "testdata/values/"+name+".yaml"))
		if result.TotalChartsLinted != 1 {
			t.Errorf("%d charts were linted", result.TotalChartsLinted)
		}
		for _, err := range result.Errors {
			t.Errorf("%s: %v", name, err)
		}
		for _, message := range result.Messages {
			if !strings.Contains(message.Error(), "icon is recommended") {
				t.Errorf("%s: %v", name, message)
			}
		}
	}
}
