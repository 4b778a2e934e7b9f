package inject

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	syncPath     = "/var/run/keyward/sync"
	tokenFile    = "token"
	snapshotPath = "/var/lib/keyward"
	// user is that of the image.
	user int64 = 65532
	// tokenSeconds is how long a token is valid; the kubelet replaces it in time.
	tokenSeconds int64 = 3600
	// snapshotSize bounds the volume. A snapshot has some 100 bytes for each key, and three times that while it is written.
	snapshotSize = "256Mi"
	mebibyte     = 1 << 20
)

// args returns the command line of the validation server. The content server stops before its sidecar, so that nobody asks the
// sidecar any more when it is stopped: it waits only for what is not finished, and for the manager to record the usage.
func args(settings *Settings, port int32, config Config) []string {
	sync := fmt.Sprintf("keyward-sync.%s.svc", config.ManagerNamespace)
	flags := []string{
		fmt.Sprintf("--group=%s/%s", settings.GroupNamespace, settings.GroupName),
		fmt.Sprintf("--upstream=%s://127.0.0.1:%d", settings.UpstreamScheme, port),
	}
	if settings.Project != "" {
		flags = append(flags, "--project="+settings.Project)
	}
	flags = append(flags,
		"--instance=$(POD_NAME)",
		fmt.Sprintf("--proxy-bind-address=:%d", settings.ProxyPort),
		fmt.Sprintf("--http-bind-address=127.0.0.1:%d", httpPort), // these integrations are not for clients
		fmt.Sprintf("--grpc-bind-address=127.0.0.1:%d", grpcPort),
		fmt.Sprintf("--admin-bind-address=:%d", AdminPort),
		fmt.Sprintf("--sync-address=dns:///%s:9444", sync),
		"--sync-server-name="+sync,
		"--sync-ca-file="+syncPath+"/"+v1alpha1.TrustKey,
		"--sync-token-file="+syncPath+"/"+tokenFile,
		"--snapshot-dir="+snapshotPath,
		"--accept-drain", "--shutdown-delay=0s", "--shutdown-timeout=5s", "--usage-timeout=10s",
	)
	if settings.PrincipalSecret != "" {
		flags = append(flags, "--principal-key-file="+principalPath)
	}
	for _, option := range settings.Options {
		flags = append(flags, "--"+option)
	}
	return flags
}

// container returns the sidecar in front of the port. It serves clients at ports of these names.
func container(settings *Settings, port int32, names []string, config Config) corev1.Container {
	if len(names) == 0 {
		names = []string{ProxyPortName}
	}
	ports := make([]corev1.ContainerPort, 0, len(names)+1)
	for _, name := range names {
		ports = append(ports, corev1.ContainerPort{Name: name, ContainerPort: settings.ProxyPort, Protocol: corev1.ProtocolTCP})
	}
	ports = append(ports, corev1.ContainerPort{Name: AdminPortName, ContainerPort: AdminPort, Protocol: corev1.ProtocolTCP})
	limits := corev1.ResourceList{corev1.ResourceMemory: settings.MemoryLimit}
	if !settings.CPULimit.IsZero() {
		limits[corev1.ResourceCPU] = settings.CPULimit
	}
	return corev1.Container{
		Name:            ContainerName,
		Image:           config.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		RestartPolicy:   ptr.To(corev1.ContainerRestartPolicyAlways),
		Args:            args(settings, port, config),
		Env: []corev1.EnvVar{
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
			{Name: "GOMEMLIMIT", Value: goMemoryLimit(settings.MemoryLimit)},
		},
		Ports:     ports,
		Resources: corev1.ResourceRequirements{Requests: requests(settings), Limits: limits},
		// The content server starts as soon as the process answers, with or without the manager; requests come when it is ready.
		StartupProbe:   probe("/healthz", 1, 120),
		ReadinessProbe: probe("/readyz", 2, 3),
		LivenessProbe:  probe("/healthz", 20, 3),
		// Hooks of all containers run as soon as the Pod is deleted: clients leave before the content server does.
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: adminGet("/drain")}},
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(user), RunAsGroup: ptr.To(user),
			Privileged: ptr.To(false), AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: syncVolume, MountPath: syncPath, ReadOnly: true},
			{Name: snapshotVolume, MountPath: snapshotPath},
		},
	}
}

func requests(settings *Settings) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: settings.CPURequest, corev1.ResourceMemory: settings.MemoryRequest}
}

// goMemoryLimit is nine tenths of the limit: garbage is collected before the container is killed.
func goMemoryLimit(limit resource.Quantity) string {
	return fmt.Sprintf("%dMiB", limit.Value()*9/10/mebibyte)
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: adminGet(path)},
		PeriodSeconds: period, FailureThreshold: failures, SuccessThreshold: 1, TimeoutSeconds: 1,
	}
}

func adminGet(path string) *corev1.HTTPGetAction {
	return &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(AdminPort), Scheme: corev1.URISchemeHTTP}
}

// volumes returns the sidecar's volumes: what it identifies itself with and what it trusts, and its snapshot.
func volumes(config Config) []corev1.Volume {
	trust := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: v1alpha1.TrustName},
		Items:                []corev1.KeyToPath{{Key: v1alpha1.TrustKey, Path: v1alpha1.TrustKey}},
	}}
	if config.TrustBundle != "" {
		trust = corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{
			Name: ptr.To(config.TrustBundle), Path: v1alpha1.TrustKey,
		}}
	}
	size := resource.MustParse(snapshotSize)
	return []corev1.Volume{
		{Name: syncVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
					Audience: v1alpha1.SyncAudience, ExpirationSeconds: ptr.To(tokenSeconds), Path: tokenFile,
				}},
				trust,
			},
			DefaultMode: ptr.To[int32](0o644),
		}}},
		// Digests only. It survives the container, so that a restart needs no manager.
		{Name: snapshotVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &size}}},
	}
}
