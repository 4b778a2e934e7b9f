{{/* Labels of an object. Arguments: root, component (optional). */}}
{{- define "keyward.labels" -}}
app.kubernetes.io/name: keyward
{{- with .component }}
app.kubernetes.io/component: {{ . | quote }}
{{- end }}
{{- with .validator }}
keyward.dev/validator: {{ . | quote }}
{{- end }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels by which Pods are selected: never those that change with the release. Arguments: component, validator (optional). */}}
{{- define "keyward.selector" -}}
app.kubernetes.io/name: keyward
app.kubernetes.io/component: {{ .component | quote }}
{{- with .validator }}
keyward.dev/validator: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The reference of an image. Arguments: root, image. */}}
{{- define "keyward.image" -}}
{{- $registry := .image.registry | default .root.Values.imageRegistry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/*
Nine tenths of a container's memory limit, so that garbage is collected before the container is killed. Of a small limit it is 30 MiB less, since a
program itself takes as much, and at least half.
*/}}
{{- define "keyward.goMemLimit" -}}
{{- $text := . | toString -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $units := dict "" 0.00000095367431640625 "k" 0.00095367431640625 "M" 0.95367431640625 "G" 953.67431640625 "Ki" 0.0009765625 "Mi" 1.0 "Gi" 1024.0 -}}
{{- if not (hasKey $units $unit) }}{{ fail (printf "resources.limits.memory: %s: write it with Mi or Gi" $text) }}{{ end -}}
{{- $limit := mulf (trimSuffix $unit $text | float64) (get $units $unit) -}}
{{- $mebibytes := floor (minf (mulf $limit 0.9) (maxf (subf $limit 30.0) (mulf $limit 0.5))) | int64 -}}
{{- if lt $mebibytes 10 }}{{ fail (printf "resources.limits.memory: %s is too little; write at least 12Mi" $text) }}{{ end -}}
{{- printf "%dMiB" $mebibytes -}}
{{- end }}

{{/*
The validation servers: a list under the key "all", each entry with the defaults of .Values.validator, its "fullname" and its
"account".
*/}}
{{- define "keyward.validators" -}}
{{- $all := list -}}
{{- $names := list -}}
{{- $manager := include "keyward.managerIdentity" . -}}
{{- /* Names of objects, and what they are of. */ -}}
{{- $taken := dict -}}
{{- if .Values.monitoring.serviceMonitor.enabled }}{{ $_ := set $taken "keyward-validator-metrics" "monitoring" }}{{ end -}}
{{- range .Values.validators -}}
{{- if has .name $names }}{{ fail (printf "validators: %s is there twice; give each a name of its own" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- $merged := fromJson (include "keyward.merge" (list $.Values.validator .)) -}}
{{- $fullname := ternary "keyward-validator" (printf "keyward-validator-%s" .name) (eq .name "default") -}}
{{- $_ := set $merged "fullname" $fullname -}}
{{- $_ := set $merged "account" ($merged.serviceAccount.name | default $fullname) -}}
{{- if eq $merged.account $manager -}}
{{- fail (printf "validators: %s: the manager has the ServiceAccount %s, which may read all Secrets of keys; name another in serviceAccount.name of one of them" .name $manager) -}}
{{- end -}}
{{- $own := list $fullname -}}
{{- if $merged.upstream.url }}{{ $own = append $own (printf "%s-proxy" $fullname) }}{{ end -}}
{{- if $merged.groups }}{{ $own = append $own (printf "%s-groups" $fullname) }}{{ end -}}
{{- range $object := $own -}}
{{- if hasKey $taken $object -}}
{{- fail (printf "validators: %s would have an object %s, which %s has already; rename it" $merged.name $object (get $taken $object)) -}}
{{- end -}}
{{- $_ := set $taken $object $merged.name -}}
{{- end -}}
{{- include "keyward.watchedOnly" (dict "root" $ "validator" $merged) -}}
{{- $all = append $all $merged -}}
{{- end -}}
{{- dict "all" $all | toJson -}}
{{- end }}

{{/*
Where the manager watches some namespaces only, a validation server that names none is for all of these, and none is for others.
Arguments: root, validator, which is changed.
*/}}
{{- define "keyward.watchedOnly" -}}
{{- $v := .validator -}}
{{- with .root.Values.watchNamespaces -}}
{{- if not (or $v.groups $v.namespaces) }}{{ $_ := set $v "namespaces" . }}{{ end -}}
{{- $asked := $v.namespaces -}}
{{- range $v.groups }}{{ $asked = append $asked (first (splitList "/" .)) }}{{ end -}}
{{- range $namespace := $asked -}}
{{- if not (has $namespace $.root.Values.watchNamespaces) -}}
{{- fail (printf "validators: %s: the manager does not watch namespace %s; add it to watchNamespaces" $v.name $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
The first object with what the second sets in it, also false, 0 and "", which mergeOverwrite takes for not set. Null removes.
*/}}
{{- define "keyward.merge" -}}
{{- $into := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $into $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $into $key)) -}}
{{- $_ := set $into $key (fromJson (include "keyward.merge" (list (get $into $key) $value))) -}}
{{- else -}}
{{- $_ := set $into $key $value -}}
{{- end -}}
{{- end -}}
{{- toJson $into -}}
{{- end }}

{{/* The account of the manager. */}}
{{- define "keyward.managerIdentity" -}}
{{- .Values.manager.serviceAccount.name | default "keyward-manager" -}}
{{- end }}

{{/* The account, as the subject of a binding. */}}
{{- define "keyward.managerSubject" -}}
{kind: ServiceAccount, name: {{ include "keyward.managerIdentity" . | quote }}, namespace: {{ .Release.Namespace | quote }}}
{{- end }}

{{/* Objects of a file that kustomize has, too. Arguments: root, path, namespace (optional), without: kind/name of one to leave out (optional). */}}
{{- define "keyward.adoptFile" -}}
{{- range $text := regexSplit "(?m)^---\\s*$" (.root.Files.Get .path) -1 }}
{{- $object := fromYaml $text }}
{{- with $object.Error }}{{ fail (printf "%s: %s" $.path .) }}{{ end }}
{{- if and $object.kind (ne (printf "%s/%s" $object.kind $object.metadata.name) ($.without | default "")) }}
---
{{ include "keyward.adopt" (dict "root" $.root "object" $object "namespace" $.namespace) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The affinity of a Pod. Arguments: pod (values of the component), selector. */}}
{{- define "keyward.affinity" -}}
{{- $affinity := dict -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (fromYaml .selector)) -}}
{{- if eq .pod.podAntiAffinity "Preferred" -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term))) -}}
{{- else if eq .pod.podAntiAffinity "Required" -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- end -}}
{{- range $key, $value := .pod.affinity -}}
{{- $_ := set $affinity $key $value -}}
{{- end -}}
{{- with $affinity }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* What says where a Pod runs, and how it is pulled. Arguments: root, pod, selector. */}}
{{- define "keyward.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with include "keyward.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- with .pod.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
  {{- $constraint := merge (dict) . (dict "labelSelector" (dict "matchLabels" (fromYaml $.selector))) }}
  -
    {{- toYaml $constraint | nindent 4 }}
{{- end }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- range $key, $value := .pod.extraPodSpec }}
{{- if has $key (list "affinity" "automountServiceAccountToken" "containers" "imagePullSecrets" "nodeSelector" "priorityClassName" "securityContext" "serviceAccountName" "terminationGracePeriodSeconds" "tolerations" "topologySpreadConstraints" "volumes") }}
{{- fail (printf "extraPodSpec: %s: there is a value of its own for it; use that one" $key) }}
{{- end }}
{{ dict $key $value | toYaml }}
{{- end }}
{{- end }}

{{/* The part of a PodDisruptionBudget that says how many. Argument: pdb. */}}
{{- define "keyward.budget" -}}
{{- $min := toString .minAvailable -}}
{{- $max := toString .maxUnavailable -}}
{{- if and $min $max }}{{ fail "pdb: set minAvailable or maxUnavailable, and the other one to \"\"" }}{{ end -}}
{{- if not (or $min $max) }}{{ fail "pdb: set minAvailable or maxUnavailable, or enabled to false" }}{{ end -}}
{{- if $min -}}
minAvailable: {{ .minAvailable }}
{{- else -}}
maxUnavailable: {{ .maxUnavailable }}
{{- end -}}
{{- end }}

{{/*
An object of a file that kustomize has, too, as an object of this release. Arguments: root, object, and namespace for one in another than
the release's.
*/}}
{{- define "keyward.adopt" -}}
{{- $o := .object -}}
{{- $old := $o.metadata.labels | default (dict "app.kubernetes.io/component" "manager") -}}
{{- $component := get $old "app.kubernetes.io/component" -}}
{{- $labels := fromYaml (include "keyward.labels" (dict "root" .root "component" $component)) -}}
{{- range $key, $value := $old -}}
{{- if or $.root.Values.rbac.aggregate (not (hasPrefix "rbac.authorization.k8s.io/aggregate" $key)) -}}
{{- $_ := set $labels $key $value -}}
{{- end -}}
{{- end -}}
{{- $_ := set $o.metadata "labels" $labels -}}
{{- if or .namespace (hasKey $o.metadata "namespace") }}{{ $_ := set $o.metadata "namespace" (.namespace | default .root.Release.Namespace) }}{{ end -}}
{{- if $o.subjects }}{{ $_ := set $o "subjects" (list (fromYaml (include "keyward.managerSubject" .root))) }}{{ end -}}
{{- toYaml $o -}}
{{- end }}

{{- /* The file of sinks. */}}
{{- define "keyward.sinks" -}}
apiVersion: config.keyward.dev/v1alpha1
kind: SinksConfiguration
sinks:
{{- range .Values.sinks.list }}
  - {{ toJson . }}
{{- end }}
{{- end }}

{{- /* The file of billing engines. */}}
{{- define "keyward.billing" -}}
apiVersion: config.keyward.dev/v1alpha1
kind: BillingConfiguration
receivers:
{{- range .Values.billing.receivers }}
  - {{ toJson . }}
{{- end }}
{{- end }}

{{/* The manager's configuration file. */}}
{{- define "keyward.configuration" -}}
{{- $names := list -}}
{{- range .Values.tiers -}}
{{- if has .name $names }}{{ fail (printf "tiers: %s is there twice; rename one, or remove it" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- with .Values.defaultTier -}}
{{- if not (has . $names) }}{{ fail (printf "defaultTier: there is no tier %s in tiers, which has %s; add it, or name another" . (join ", " $names)) }}{{ end -}}
{{- end -}}
apiVersion: config.keyward.dev/v1alpha1
kind: ManagerConfiguration
{{- with .Values.defaultTier }}
defaultTier: {{ . | quote }}
{{- end }}
tiers:
{{- range .Values.tiers }}
  - {{ toJson . }}
{{- else }} []
{{- end }}
{{- end }}
