{{/* The file of the console; empty without a provider. */}}
{{- define "keyward.console.file" -}}
{{- $oidc := .Values.console.oidc -}}
{{- $i := $oidc.impersonate -}}
{{- $impersonates := eq $oidc.mode "Impersonate" -}}
{{- if and (not $oidc.issuer) (or $oidc.name $oidc.clientID $oidc.clientSecret.name $oidc.ca.configMapName $impersonates) -}}
{{- fail "console: oidc.issuer: write the URL of the provider, or remove what oidc says of it" -}}
{{- end -}}
{{- if and (not $impersonates) (or $i.groups $i.prefix $i.allowedGroups $i.users) -}}
{{- fail "console: oidc.impersonate is set, and oidc.mode is PassToken, which impersonates nobody; set mode to Impersonate, or remove impersonate" -}}
{{- end -}}
{{- if $oidc.issuer -}}
{{- if not $oidc.name }}{{ fail "console: oidc.name: write the name of the provider, which the button of the sign-in has" }}{{ end -}}
{{- if not $oidc.clientID }}{{ fail "console: oidc.clientID: write the id that the provider has given to the console" }}{{ end -}}
{{- $file := dict "name" $oidc.name "issuer" $oidc.issuer "clientID" $oidc.clientID "scopes" $oidc.scopes -}}
{{- if $oidc.clientSecret.name }}{{ $_ := set $file "clientSecretFile" "/var/run/keyward/oidc/client-secret" }}{{ end -}}
{{- if $oidc.ca.configMapName }}{{ $_ := set $file "caFile" "/var/run/keyward/oidc/ca.crt" }}{{ end -}}
{{- if $impersonates -}}
{{- if not $i.groups }}{{ fail "console: oidc.impersonate.groups: write a CEL expression over claims that is a list, such as claims.groups" }}{{ end -}}
{{- if not $i.prefix }}{{ fail "console: oidc.impersonate.prefix: write what is before each name and group, such as oidc:" }}{{ end -}}
{{- if not $i.allowedGroups -}}
{{- fail "console: oidc.impersonate.allowedGroups: list the groups that people may have; who has none of them is refused, and the ClusterRole has no others" -}}
{{- end -}}
{{- range concat $i.allowedGroups $i.users -}}
{{- if not (and (hasPrefix $i.prefix .) (ne $i.prefix .)) -}}
{{- fail (printf "console: oidc.impersonate: %s does not begin with the prefix %s; write it as Kubernetes knows it" . $i.prefix) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $file "impersonate" (dict "name" $i.name "groups" $i.groups "prefix" $i.prefix "allowedGroups" $i.allowedGroups) -}}
{{- else -}}
{{- $_ := set $file "passToken" dict -}}
{{- end -}}
apiVersion: config.keyward.dev/v1alpha1
kind: ConsoleConfiguration
{{ toYaml (dict "oidc" $file) }}
{{- end -}}
{{- end }}
