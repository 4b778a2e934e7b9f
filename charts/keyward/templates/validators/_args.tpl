{{/* The flags of a validation server. Arguments: root, validator. */}}
{{- define "keyward.validatorArgs" -}}
{{- $namespace := .root.Release.Namespace -}}
{{- $lines := list -}}
{{- with .validator -}}
{{- if ne $namespace "keyward-system" -}}
{{- $lines = append $lines (printf "--sync-address=dns:///keyward-sync.%s.svc:9444" $namespace) -}}
{{- $lines = append $lines (printf "--sync-server-name=keyward-sync.%s.svc" $namespace) -}}
{{- end -}}
{{- range .groups }}{{ $lines = append $lines (printf "--group=%s" .) }}{{ end -}}
{{- range .namespaces }}{{ $lines = append $lines (printf "--namespace=%s" .) }}{{ end -}}
{{- if .snapshot.enabled }}{{ $lines = append $lines "--snapshot-dir=/var/lib/keyward" }}{{ end -}}
{{- with .maxStaleness }}{{ $lines = append $lines (printf "--max-staleness=%s" .) }}{{ end -}}
{{- with .onStale }}{{ $lines = append $lines (printf "--on-stale=%s" .) }}{{ end -}}
{{- if .upstream.url -}}
{{- $lines = append $lines (printf "--upstream=%s" .upstream.url) -}}
{{- with .upstream.timeout }}{{ $lines = append $lines (printf "--upstream-timeout=%s" .) }}{{ end -}}
{{- with .upstream.project }}{{ $lines = append $lines (printf "--project=%s" .) }}{{ end -}}
{{- end -}}
{{- with .trustedProxies }}{{ $lines = append $lines (printf "--trusted-proxies=%s" (join "," .)) }}{{ end -}}
{{- if .tls.secretName -}}
{{- $lines = append $lines "--tls-cert-file=/var/run/keyward/tls/tls.crt" -}}
{{- $lines = append $lines "--tls-key-file=/var/run/keyward/tls/tls.key" -}}
{{- end -}}
{{- if .adminToken.secretName }}{{ $lines = append $lines "--admin-token-file=/var/run/keyward/admin/token" }}{{ end -}}
{{- if .principal.secretName -}}
{{- $lines = append $lines "--principal-key-file=/var/run/keyward/principal" -}}
{{- with .principal.issuer }}{{ $lines = append $lines (printf "--principal-issuer=%s" .) }}{{ end -}}
{{- with .principal.audience }}{{ $lines = append $lines (printf "--principal-audience=%s" .) }}{{ end -}}
{{- end -}}
{{- if ne .logLevel "info" }}{{ $lines = append $lines (printf "--log-level=%s" .logLevel) }}{{ end -}}
{{- range .extraArgs }}{{ $lines = append $lines . }}{{ end -}}
{{- end -}}
{{- with $lines }}{{ toYaml . }}{{ end -}}
{{- end }}
