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
		"console without an address":  {`console: {enabled: true}`, []string{"console: origin: write the URL"}},
		"console at a path":           {`console: {enabled: true, origin: "https://a.example/keys"}`, []string{"/console/origin", "does not match pattern"}},
		"console without HTTPS":       {`console: {enabled: true, origin: "http://a.example"}`, []string{"/console/origin", "does not match pattern"}},
		"console without its secrets": {`console: {keysSecretName: ""}`, []string{"/console/keysSecretName", "does not match pattern"}},
		"replicas that know nothing of each other": {`console: {enabled: true, origin: "https://a.example", replicas: 2}`, []string{
			"console: replicas: with more than one, set revocations to ConfigMap"}},
		"no replica of the console": {`console: {replicas: 0}`, []string{"/console/replicas", "want 1"}},
		"revocations elsewhere":     {`console: {revocations: Redis}`, []string{"/console/revocations", "'Memory', 'ConfigMap'"}},
		"provider without a URL": {`console: {enabled: true, origin: "https://a.example", oidc: {name: A, clientID: b}}`, []string{
			"console: oidc.issuer: write the URL"}},
		"provider without HTTPS": {`console: {oidc: {issuer: "http://a.example"}}`, []string{"/console/oidc/issuer", "does not match pattern"}},
		"provider without a name": {`console: {enabled: true, origin: "https://a.example", oidc: {issuer: "https://b.example"}}`, []string{
			"console: oidc.name: write the name"}},
		"provider without a client": {`console: {enabled: true, origin: "https://a.example", oidc: {issuer: "https://b.example", name: B}}`, []string{
			"console: oidc.clientID: write the id"}},
		"scopes without openid": {`console: {oidc: {scopes: [email]}}`, []string{"/console/oidc/scopes"}},
		"impersonation without groups": {oidcWith(`mode: Impersonate, impersonate: {groups: claims.groups, prefix: "oidc:"}`), []string{
			"console: oidc.impersonate.allowedGroups: list the groups"}},
		"impersonation without an expression": {oidcWith(`mode: Impersonate, impersonate: {prefix: "oidc:", allowedGroups: ["oidc:a"]}`), []string{
			"console: oidc.impersonate.groups: write a CEL expression"}},
		"impersonation without a prefix": {oidcWith(`mode: Impersonate, impersonate: {groups: claims.groups, allowedGroups: ["oidc:a"]}`), []string{
			"console: oidc.impersonate.prefix"}},
		"group without the prefix": {oidcWith(`mode: Impersonate, impersonate: {groups: claims.groups, prefix: "oidc:", allowedGroups: [a]}`), []string{
			"a does not begin with the prefix oidc:"}},
		"group of Kubernetes":  {`console: {oidc: {impersonate: {allowedGroups: ["system:masters"]}}}`, []string{"/console/oidc/impersonate/allowedGroups/0"}},
		"every group":          {`console: {oidc: {impersonate: {allowedGroups: ["oidc:*"]}}}`, []string{"/console/oidc/impersonate/allowedGroups/0"}},
		"prefix of Kubernetes": {`console: {oidc: {impersonate: {prefix: "system:"}}}`, []string{"/console/oidc/impersonate/prefix"}},
		"impersonation that is not asked for": {oidcWith(`impersonate: {groups: claims.groups, prefix: "oidc:", allowedGroups: ["oidc:a"]}`), []string{
			"console: oidc.impersonate is set, and oidc.mode is PassToken"}},
		"console that is not run": {`console: {ingress: {enabled: true}}`, []string{"console: ingress.enabled exposes the console, which enabled does not run"}},
		"console's route without Gateways": {`console: {enabled: true, origin: "https://a.example", httpRoute: {enabled: true}}`, []string{
			"console: httpRoute.parentRefs: name at least one Gateway"}},
		"both of the console's budget": {`console: {enabled: true, origin: "https://a.example", replicas: 2, revocations: ConfigMap, pdb: {minAvailable: 1}}`, []string{
			"set minAvailable or maxUnavailable"}},
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
		"name of the proxy of another": {`validators: [{name: default, upstream: {url: "http://y"}}, {name: proxy}]`, []string{
			"validators: proxy would have an object keyward-validator-proxy, which default has already; rename it"}},
		"the same, the other way round": {`validators: [{name: x-proxy}, {name: x, upstream: {url: "http://y"}}]`, []string{
			"validators: x would have an object keyward-validator-x-proxy, which x-proxy has already"}},
		"name of the Role of another": {`validators: [{name: a, groups: [c/acme]}, {name: a-groups, namespaces: [c]}]`, []string{
			"validators: a-groups would have an object keyward-validator-a-groups, which a has already"}},
		"name of what monitoring has": {`{monitoring: {serviceMonitor: {enabled: true}}, validators: [{name: metrics}]}`, []string{
			"validators: metrics would have an object keyward-validator-metrics, which monitoring has already"}},
		"account of the manager": {`validators: [{name: a, serviceAccount: {name: keyward-manager}}]`, []string{
			"validators: a: the manager has the ServiceAccount keyward-manager"}},
		"manager with the account of a validator": {`manager: {serviceAccount: {name: keyward-validator}}`, []string{
			"validators: default: the manager has the ServiceAccount keyward-validator"}},
		"watched namespace twice":  {`watchNamespaces: [a, a]`, []string{"/watchNamespaces", "items at 0 and 1 are equal"}},
		"namespace twice":          {`validator: {namespaces: [a, a]}`, []string{"/validator/namespaces", "items at 0 and 1 are equal"}},
		"Group twice":              {`validator: {groups: [a/b, a/b]}`, []string{"/validator/groups", "items at 0 and 1 are equal"}},
		"issuer without a name":    {`certificates: {certManager: {issuerRef: {kind: ClusterIssuer}}}`, []string{"issuerRef", "'name'"}},
		"upstream without a host":  {`validator: {upstream: {url: "http://"}}`, []string{"/validator/upstream/url", "does not match pattern"}},
		"upstream with a space":    {`validator: {upstream: {url: "http://x y"}}`, []string{"/validator/upstream/url", "does not match pattern"}},
		"prefix that is too long":  {`validator: {trustedProxies: [10.0.0.0/33]}`, []string{"/validator/trustedProxies/0", "does not match pattern"}},
		"IPv6 prefix, too":         {`validator: {trustedProxies: ["2001:db8::/129"]}`, []string{"/validator/trustedProxies/0", "does not match pattern"}},
		"number beyond a byte":     {`validator: {trustedProxies: [10.0.256.0/8]}`, []string{"/validator/trustedProxies/0", "does not match pattern"}},
		"registry with a scheme":   {`imageRegistry: "https://x.y"`, []string{"/imageRegistry", "does not match pattern"}},
		"image without repository": {`manager: {image: {repository: ""}}`, []string{"/manager/image/repository", "does not match pattern"}},
		"more than all Pods":       {`manager: {pdb: {minAvailable: 101%}}`, []string{"/manager/pdb/minAvailable", "does not match pattern"}},
		"hardly any memory":        {`manager: {resources: {limits: {memory: 512Ki}}}`, []string{"resources.limits.memory: 512Ki is too little"}},
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

// oidcWith are values with a provider and what is written in addition.
func oidcWith(more string) string {
	return `console: {enabled: true, origin: "https://a.example", oidc: {issuer: "https://b.example", name: B, clientID: c, ` + more + `}}`
}

// TestAccepted: what is close to what is refused.
func TestAccepted(t *testing.T) {
	for name, values := range map[string]string{
		"no resources":       `{manager: {resources: null}, validator: {resources: null}}`,
		"other names":        `validators: [{name: default}, {name: proxy, upstream: {url: "h2c://y:1/z"}}, {name: groups, groups: [a/b]}]`,
		"registries":         `{imageRegistry: "x.y:5000/a/b/", manager: {image: {registry: "[::1]:5000", repository: "images.example:1/a.b/c_d"}}}`,
		"prefixes":           `validator: {trustedProxies: [10.0.0.0/8, 255.255.255.255/32, "::/0", "2001:db8::1/128", "::ffff:10.0.0.1/104"]}`,
		"an issuer":          `certificates: {source: CertManager, certManager: {issuerRef: {name: a, kind: ClusterIssuer}}}`,
		"the whole of a PDB": `manager: {pdb: {minAvailable: 100%}}`,
		"upstreams":          `validators: [{name: a, upstream: {url: "http://[::1]:8080"}}, {name: b, upstream: {url: "https://content.acme.svc/"}}]`,
	} {
		if _, err := release(load(t), systemNamespace, parseValues(t, values)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
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
