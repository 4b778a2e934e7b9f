package inject

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	config   = Config{Image: "keyward/validator:v1", ManagerNamespace: "keyward-system"}
	defaults = map[string]string{v1alpha1.AnnotationGroup: "default-of-the-namespace", "keyward.dev/restoring-until": "x", "other": "y"}
)

func readPod(t *testing.T, path string) *corev1.Pod {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(text, pod); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return pod
}

func injected(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	result, errs := Pod(pod, "acme", defaults, config)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	return result
}

// TestTypicalPods compares what is added to typical Pods with golden files. With -update it writes them.
func TestTypicalPods(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d Pods, %v", len(paths), err)
	}
	for _, path := range paths {
		pod := readPod(t, path)
		before := pod.DeepCopy()
		result := injected(t, pod)
		if !equality.Semantic.DeepEqual(pod, before) {
			t.Errorf("%s: the argument has changed", path)
		}
		if errs := Verify(result, "acme", defaults); len(errs) > 0 {
			t.Errorf("%s: %v", path, errs.ToAggregate())
		}
		got, err := yaml.Marshal(result)
		if err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(path, ".yaml") + ".golden"
		if *update {
			if err := os.WriteFile(golden, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
		}
	}
}

// TestPortChangesHands: the name of the content server's port goes to the sidecar, and what calls the content server by name
// calls its number.
func TestPortChangesHands(t *testing.T) {
	result := injected(t, readPod(t, "testdata/deployment.yaml"))
	content, added := &result.Spec.Containers[0], sidecar(&result.Spec)
	if p := content.Ports[0]; p.Name != "" || p.ContainerPort != 8080 {
		t.Errorf("the content server's port: %+v", p)
	}
	if p := added.Ports[0]; p.Name != "http" || p.ContainerPort != DefaultProxyPort {
		t.Errorf("the sidecar's port: %+v", p)
	}
	for _, port := range calledPorts(content) {
		if port.IntVal != 8080 {
			t.Errorf("a probe or hook calls %s", port)
		}
	}
	if n := len(calledPorts(content)); n != 4 {
		t.Errorf("%d ports are called", n)
	}
	if !strings.Contains(strings.Join(added.Args, " "), "--upstream=http://127.0.0.1:8080 ") {
		t.Errorf("%q", added.Args)
	}
}

// TestOtherProbesKeepTheirPorts: the name of a port means that of the same container only.
func TestOtherProbesKeepTheirPorts(t *testing.T) {
	pod := readPod(t, "testdata/several.yaml")
	result := injected(t, pod)
	for i, want := range []string{"metrics", "debug"} {
		if got := result.Spec.Containers[i].ReadinessProbe.HTTPGet.Port.StrVal; got != want {
			t.Errorf("container %d is probed at %q, not %q", i, got, want)
		}
	}
	if last := result.Spec.InitContainers[2]; last.Name != ContainerName {
		t.Errorf("the last init container is %s", last.Name)
	}
}

// TestClusterTrustBundle mounts the authority from where the configuration says.
func TestClusterTrustBundle(t *testing.T) {
	result, errs := Pod(readPod(t, "testdata/job.yaml"), "acme", defaults, Config{Image: "i", ManagerNamespace: "m", TrustBundle: "b"})
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	sources := result.Spec.Volumes[0].Projected.Sources
	if len(sources) != 2 || sources[1].ConfigMap != nil || ptr.Deref(sources[1].ClusterTrustBundle.Name, "") != "b" {
		t.Errorf("%+v", sources)
	}
	if all := strings.Join(sidecar(&result.Spec).Args, " "); !strings.Contains(all, "--sync-server-name=keyward-sync.m.svc ") {
		t.Error(all)
	}
}

// TestAgain: a Pod that has its sidecar keeps it as others have changed it, and one for other settings is refused.
func TestAgain(t *testing.T) {
	first := injected(t, readPod(t, "testdata/several.yaml"))
	sidecar(&first.Spec).Image = "mirror.acme.example/validator:v1"
	first.Spec.Containers = append(first.Spec.Containers, corev1.Container{Name: "late", Image: "late"})
	if again := injected(t, first); !equality.Semantic.DeepEqual(first, again) {
		t.Errorf("got %+v", again)
	}

	other := first.DeepCopy()
	other.Annotations[v1alpha1.AnnotationProject] = "sales"
	refused(t, other, `metadata.annotations[keyward.dev/injected]: Invalid value`, "remove the annotation keyward.dev/injected, the init container keyward")
	bare := readPod(t, "testdata/deployment.yaml")
	bare.Annotations[v1alpha1.AnnotationInjected] = "anything"
	refused(t, bare, `metadata.annotations[keyward.dev/injected]: Forbidden`, "the Pod has no sidecar: remove the annotation")
}

// refused expects one problem with these texts.
func refused(t *testing.T, pod *corev1.Pod, texts ...string) {
	t.Helper()
	_, errs := Pod(pod, "acme", nil, config)
	if len(errs) != 1 {
		t.Errorf("want one problem with %q, got %v", texts, errs.ToAggregate())
		return
	}
	for _, text := range texts {
		if !strings.Contains(errs[0].Error(), text) {
			t.Errorf("%s: lacks %q", errs[0], text)
		}
	}
}

// required has the Pod run where the system is or is not one of the values.
func required(operator corev1.NodeSelectorOperator, values ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelOSStable, Operator: operator, Values: values}}},
			}},
		}}
	}
}

// TestAccepted: what is close to what is refused.
func TestAccepted(t *testing.T) {
	for name, change := range map[string]func(*corev1.Pod){
		"nodes with Linux":          func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: "linux"} },
		"affinity to Linux":         required(corev1.NodeSelectorOpIn, "linux"),
		"affinity, also to Windows": required(corev1.NodeSelectorOpIn, "windows", "linux"),
		"affinity, not Windows":     required(corev1.NodeSelectorOpNotIn, "windows"),
		"one of two terms": func(p *corev1.Pod) {
			required(corev1.NodeSelectorOpIn, "windows")(p)
			terms := &p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
			*terms = append(*terms, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "a", Operator: "Exists"}}})
		},
		"DNS of the cluster": func(p *corev1.Pod) { p.Spec.DNSPolicy = corev1.DNSClusterFirst },
		"DNS of its own": func(p *corev1.Pod) {
			p.Spec.DNSPolicy = corev1.DNSNone
			p.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"169.254.20.10"}, Searches: []string{"cluster.local"}}
		},
		"host port of another port": func(p *corev1.Pod) {
			p.Annotations[v1alpha1.AnnotationUpstreamPort] = "http"
			p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{ContainerPort: 9999, HostPort: 9999})
		},
	} {
		pod := readPod(t, "testdata/deployment.yaml")
		change(pod)
		if _, errs := Pod(pod, "acme", nil, config); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs.ToAggregate())
		}
	}
}

// TestCopies: a Pod that was made from one with a sidecar, or changed after it got it, is refused if the sidecar is no longer in front
// of its content, before and after other webhooks.
func TestCopies(t *testing.T) {
	good := injected(t, readPod(t, "testdata/deployment.yaml"))
	added := func(p *corev1.Pod) *corev1.Container { return sidecar(&p.Spec) }
	replaced := func(from, to string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for i, arg := range added(p).Args {
				added(p).Args[i] = strings.ReplaceAll(arg, from, to)
			}
		}
	}
	for name, change := range map[string]func(*corev1.Pod){
		"host port": func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].HostPort = 18999 },
		"UDP host port": func(p *corev1.Pod) {
			udp := p.Spec.Containers[0].Ports[0]
			udp.Protocol, udp.HostPort = corev1.ProtocolUDP, 443
			p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, udp)
		},
		"host network":         func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		"DNS of the node":      func(p *corev1.Pod) { p.Spec.DNSPolicy = corev1.DNSDefault },
		"another content port": func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort++ },
		"content port named":   func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].Name = "web" },
		"name back":            func(p *corev1.Pod) { p.Spec.Containers[0].Ports[0].Name, added(p).Ports = "http", nil },
		"no ports":             func(p *corev1.Pod) { added(p).Ports = nil },
		"other flags":          func(p *corev1.Pod) { added(p).Args = []string{"--version"} },
		"another Group":        replaced("--group=acme/acme", "--group=other/acme"),
		"another Group, added": func(p *corev1.Pod) { added(p).Args = append(added(p).Args, "-group", "other/acme") },
		"another upstream":     func(p *corev1.Pod) { added(p).Args = append(added(p).Args, "--upstream=http://example.com") },
		"another program":      func(p *corev1.Pod) { added(p).Command = []string{"sh"} },
		"another container there": func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "b",
				Ports: []corev1.ContainerPort{{ContainerPort: DefaultProxyPort}}})
		},
	} {
		bad := good.DeepCopy()
		change(bad)
		if equality.Semantic.DeepEqual(good, bad) {
			t.Errorf("%s: nothing is changed", name)
		}
		if _, errs := Pod(bad, "acme", defaults, config); len(errs) == 0 {
			t.Errorf("%s: it is accepted", name)
		}
		if errs := Verify(bad, "acme", defaults); len(errs) == 0 {
			t.Errorf("%s: it is accepted in the end", name)
		}
	}
	for name, change := range map[string]func(*corev1.Pod){
		"image":        func(p *corev1.Pod) { added(p).Image = "mirror.acme.example/validator:v2" },
		"resources":    func(p *corev1.Pod) { added(p).Resources = corev1.ResourceRequirements{} },
		"environment":  func(p *corev1.Pod) { added(p).Env = append(added(p).Env, corev1.EnvVar{Name: "A"}) },
		"a later flag": func(p *corev1.Pod) { added(p).Args = append(added(p).Args, "--later=1") },
		"another name": func(p *corev1.Pod) { p.Name = "copy" },
		"a mesh": func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "mesh", Ports: []corev1.ContainerPort{{ContainerPort: 15090}}})
		},
	} {
		changed := good.DeepCopy()
		change(changed)
		if result, errs := Pod(changed, "acme", defaults, config); len(errs) > 0 || !equality.Semantic.DeepEqual(result, changed) {
			t.Errorf("%s: %v", name, errs.ToAggregate())
		}
		if errs := Verify(changed, "acme", defaults); len(errs) > 0 {
			t.Errorf("%s, in the end: %v", name, errs.ToAggregate())
		}
	}
}

// TestRefused: each Pod has one problem, whose message names the field and how to fix it.
func TestRefused(t *testing.T) {
	port := func(i int) string { return "spec.containers[0].ports[" + string(rune('0'+i)) + "]" }
	annotation := func(name string) string { return "metadata.annotations[keyward.dev/" + name + "]: " }
	ports := func(ports ...corev1.ContainerPort) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			c := &p.Spec.Containers[0]
			c.Ports, c.LivenessProbe, c.ReadinessProbe, c.Lifecycle = ports, nil, nil, nil
		}
	}
	set := func(name, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations["keyward.dev/"+name] = value }
	}
	always := corev1.ContainerRestartPolicyAlways
	for name, c := range map[string]struct {
		change      func(*corev1.Pod)
		field, hint string
	}{
		"no Group":      {func(p *corev1.Pod) { delete(p.Annotations, v1alpha1.AnnotationGroup) }, annotation("group"), "an annotation of the Namespace"},
		"no Group name": {set("group", "tenants/acme/x"), annotation("group"), "tenants/acme"},
		"capital Group": {set("group", "Acme"), annotation("group"), "such as acme"},
		"long Group":    {set("group", strings.Repeat("a", 2000)), annotation("group") + "Too long", "1024"},
		"misspelt":      {set("grupp", "acme"), "metadata.annotations: Unsupported value: \"keyward.dev/grupp\"", "keyward.dev/upstream-port"},
		"port name":     {set("upstream-port", "http!"), annotation("upstream-port"), "such as http or 9000"},
		"port zero":     {set("upstream-port", "0"), annotation("upstream-port"), "such as http or 9000"},
		"port unknown":  {set("upstream-port", "web"), annotation("upstream-port"), "they have http"},
		"own port":      {set("upstream-port", "28083"), annotation("upstream-port"), "keyward.dev/proxy-port"},
		"no ports":      {ports(), annotation("upstream-port") + "Required", "declare no TCP port"},
		"only UDP":      {ports(corev1.ContainerPort{ContainerPort: 53, Protocol: corev1.ProtocolUDP}), annotation("upstream-port"), "no TCP port"},
		"two ports": {ports(corev1.ContainerPort{Name: "a", ContainerPort: 1}, corev1.ContainerPort{ContainerPort: 2}),
			annotation("upstream-port") + "Required", "which of them is the content server's: a, 2"},
		"host port": {ports(corev1.ContainerPort{ContainerPort: 80, HostPort: 80}), port(0) + ".hostPort", "use a Service"},
		"UDP host port": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports,
				corev1.ContainerPort{ContainerPort: p.Spec.Containers[0].Ports[0].ContainerPort, Protocol: corev1.ProtocolUDP, HostPort: 443})
		}, port(1) + ".hostPort", "use a Service"},
		"name of the admin port": {ports(corev1.ContainerPort{Name: "keyward-admin", ContainerPort: 80}), port(0) + ".name", "rename it"},
		"DNS of the node":        {func(p *corev1.Pod) { p.Spec.DNSPolicy = corev1.DNSDefault }, "spec.dnsPolicy", "ClusterFirst"},
		"no DNS": {func(p *corev1.Pod) {
			p.Spec.DNSPolicy, p.Spec.DNSConfig = corev1.DNSNone, &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10"}}
		}, "spec.dnsPolicy", "dnsConfig.searches"},
		"nodes with Windows": {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: "windows"} },
			"spec.nodeSelector[kubernetes.io/os]", "on linux"},
		"affinity to Windows": {required(corev1.NodeSelectorOpIn, "windows"), "spec.affinity.nodeAffinity", "on linux"},
		"affinity, not Linux": {required(corev1.NodeSelectorOpNotIn, "linux"), "spec.affinity.nodeAffinity", "on linux"},
		"a name twice": {func(p *corev1.Pod) {
			set("upstream-port", "8080")(p)
			p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{Name: "http", ContainerPort: 81})
		}, port(1) + ".name", "rename one"},
		"a sidecar's name": {func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "mesh", RestartPolicy: &always,
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 81}}}}
		}, "spec.initContainers[0].ports[0].name", "rename one"},
		"the sidecar's port": {func(p *corev1.Pod) {
			set("upstream-port", "http")(p)
			p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{ContainerPort: 28080})
		}, port(1) + ".containerPort", "keyward.dev/proxy-port"},
		"proxy port":     {set("proxy-port", "80"), annotation("proxy-port"), "from 1024"},
		"admin as proxy": {set("proxy-port", "28083"), annotation("proxy-port"), "not 28081, 28082 or 28083"},
		"scheme":         {set("upstream-scheme", "ftp"), annotation("upstream-scheme"), `supported values: "http", "h2c"`},
		"project":        {set("project", "Marketing!"), annotation("project"), "such as marketing"},
		"option":         {set("options", "sync-address=x"), annotation("options"), `"trusted-proxies"`},
		"option alone":   {set("options", "log-level"), annotation("options"), "such as log-level=debug"},
		"option twice":   {set("options", "log-level=debug --log-level=info"), annotation("options") + "Duplicate", "log-level"},
		"option value":   {set("options", "trusted-proxies=10.0.0.1"), annotation("options"), "trusted-proxies=10.0.0.0/8"},
		"options":        {set("options", strings.Repeat("a=b ", 65)), annotation("options"), ""},
		"stale":          {set("options", "on-stale=deny"), annotation("options"), "max-staleness=1h"},
		"PROXY":          {set("options", "proxy-protocol=true"), annotation("options"), "trusted-proxies"},
		"memory":         {set("memory-limit", "1Mi"), annotation("memory-limit"), "from 64Mi to 64Gi"},
		"no quantity":    {set("memory-limit", "much"), annotation("memory-limit"), "from 64Mi to 64Gi"},
		"digits":         {set("cpu-limit", strings.Repeat("1", 40)), annotation("cpu-limit"), "from 0 to 256"},
		"request":        {set("memory-request", "1Gi"), annotation("memory-request"), "more than keyward.dev/memory-limit, which is 256Mi"},
		"cpu request": {func(p *corev1.Pod) { set("cpu-request", "2")(p); set("cpu-limit", "1")(p) },
			annotation("cpu-request"), "more than keyward.dev/cpu-limit, which is 1"},
		"host network": {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, "spec.hostNetwork", "remove it or the label"},
		"Windows":      {func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }, "spec.os.name", "linux"},
		"by hand": {func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "keyward", RestartPolicy: &always}}
		},
			"spec.initContainers[0].name", "remove it or the label keyward.dev/inject"},
		"container": {func(p *corev1.Pod) { p.Spec.Containers[0].Name = "keyward" }, "spec.containers[0].name", "rename it"},
		"volume":    {func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "keyward-sync"}} }, "spec.volumes[0].name", "rename it"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := readPod(t, "testdata/deployment.yaml")
			c.change(pod)
			if name == "options" {
				if _, errs := Pod(pod, "acme", nil, config); len(errs) != maxProblems+1 {
					t.Errorf("%d problems", len(errs))
				}
				return
			}
			refused(t, pod, c.field, c.hint)
		})
	}
}

// TestAllAtOnce reports problems of all kinds in one list.
func TestAllAtOnce(t *testing.T) {
	pod := readPod(t, "testdata/deployment.yaml")
	pod.Annotations = map[string]string{"keyward.dev/proxy-port": "x", "keyward.dev/project": "-", "keyward.dev/cpu-limit": "-1",
		"keyward.dev/options": "a=1 on-stale=deny"}
	if _, errs := Pod(pod, "acme", nil, config); len(errs) != 6 {
		t.Errorf("got %v", errs.ToAggregate())
	}
	pod = readPod(t, "testdata/deployment.yaml")
	pod.Spec.HostNetwork, pod.Spec.Containers[0].Name, pod.Annotations[v1alpha1.AnnotationUpstreamPort] = true, "keyward", "web"
	if _, errs := Pod(pod, "acme", nil, config); len(errs) != 3 {
		t.Errorf("got %v", errs.ToAggregate())
	}
}

// TestVerify: a labelled Pod without its sidecar, or whose Service could find another container, is not created.
func TestVerify(t *testing.T) {
	pod := readPod(t, "testdata/several.yaml")
	if errs := Verify(pod, "acme", defaults); len(errs) != 1 || errs[0].Field != "metadata.labels[keyward.dev/inject]" {
		t.Errorf("without a sidecar: %v", errs)
	}
	good := injected(t, pod)
	for name, change := range map[string]func(*corev1.Pod){
		"removed":        func(p *corev1.Pod) { p.Spec.InitContainers = p.Spec.InitContainers[:2] },
		"no longer ours": func(p *corev1.Pod) { delete(p.Annotations, v1alpha1.AnnotationInjected) },
		"not a sidecar":  func(p *corev1.Pod) { p.Spec.InitContainers[2].RestartPolicy = nil },
		"named again":    func(p *corev1.Pod) { p.Spec.Containers[1].Ports[0].Name = "web" },
		"named by mesh":  func(p *corev1.Pod) { p.Spec.InitContainers[1].Ports[0].Name = "web" },
	} {
		bad := good.DeepCopy()
		change(bad)
		if errs := Verify(bad, "acme", defaults); len(errs) != 1 {
			t.Errorf("%s: %v", name, errs)
		}
	}
}
