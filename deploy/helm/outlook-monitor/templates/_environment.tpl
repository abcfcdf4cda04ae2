{{- /* secrets are the variables that come from the Secret, and whether each must
be there. */}}
{{- define "outlook-monitor.secrets" -}}
MONITOR_TOKEN: true
MEDIATOR_TOKEN: false
MEDIATOR_SIGNING_SECRET: false
CLIENT_STATE_KEY: false
{{- if eq .Values.azure.credential "secret" }}
AZURE_CLIENT_SECRET: true
{{- else if eq .Values.azure.credential "certificate" }}
AZURE_CLIENT_CERTIFICATE_PASSWORD: false
{{- end }}
{{- if not .Values.redis.bundled }}
REDIS_URL: true
{{- else if not .Values.redis.password.secretName }}
REDIS_PASSWORD: true
{{- end }}
{{- end }}

{{- /* redisPassword is where the bundled Redis' password comes from. */}}
{{- define "outlook-monitor.redisPassword" -}}
{{- with .Values.redis.password -}}
{{- if .secretName -}}
{ secretKeyRef: { name: {{ .secretName }}, key: {{ .key }} } }
{{- else -}}
{ secretKeyRef: { name: {{ $.Values.secret.name }}, key: {{ get $.Values.secret.keys "REDIS_PASSWORD" | default "REDIS_PASSWORD" }} } }
{{- end -}}
{{- end -}}
{{- end }}

{{- /* environment is the container's env. */}}
{{- define "outlook-monitor.environment" -}}
{{- with .Values.azure }}
{{- if .tenantId }}
- { name: AZURE_TENANT_ID, value: {{ .tenantId | quote }} }
{{- end }}
{{- if .clientId }}
- { name: AZURE_CLIENT_ID, value: {{ .clientId | quote }} }
{{- end }}
{{- if eq .credential "certificate" }}
- { name: AZURE_CLIENT_CERTIFICATE_PATH, value: {{ printf "/etc/outlook-monitor/azure/%s" .certificate.key | quote }} }
{{- else if eq .credential "managedIdentity" }}
- { name: AZURE_MANAGED_IDENTITY, value: "true" }
{{- else if and (eq .credential "workloadIdentity") .workloadIdentity.projectToken }}
- { name: AZURE_FEDERATED_TOKEN_FILE, value: /var/run/secrets/azure/tokens/azure-identity-token }
{{- end }}
{{- end }}
{{- if .Values.publicUrl }}
- { name: PUBLIC_URL, value: {{ .Values.publicUrl | quote }} }
{{- end }}
- { name: MEDIATOR_URL, value: {{ .Values.mediator.url | quote }} }
- { name: LISTEN_ADDR, value: ":8080" }
- { name: PRIVATE_ADDR, value: ":8081" }
{{- if .Values.tls.secretName }}
- { name: TLS_CERT_FILE, value: /etc/outlook-monitor/tls/tls.crt }
- { name: TLS_KEY_FILE, value: /etc/outlook-monitor/tls/tls.key }
{{- end }}
{{- with .Values.encryption.secretNames }}
{{- $certificates := list }}
{{- $keys := list }}
{{- range $i, $_ := . }}
{{- $certificates = append $certificates (printf "/etc/outlook-monitor/encryption/%d/tls.crt" $i) }}
{{- $keys = append $keys (printf "/etc/outlook-monitor/encryption/%d/tls.key" $i) }}
{{- end }}
- { name: ENCRYPTION_CERT_FILE, value: {{ join "," $certificates | quote }} }
- { name: ENCRYPTION_KEY_FILE, value: {{ join "," $keys | quote }} }
{{- end }}
{{- with dig "limits" "memory" "" .Values.resources }}
- { name: GOMEMLIMIT, value: {{ printf "%dMiB" (div (mul (include "outlook-monitor.bytes" . | int64) 9) 10485760) | quote }} }
{{- end }}
{{- range $name, $needed := include "outlook-monitor.secrets" . | fromYaml }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: { name: {{ $.Values.secret.name }}, key: {{ get $.Values.secret.keys $name | default $name }}{{ if not $needed }}, optional: true{{ end }} }
{{- end }}
{{- if .Values.redis.bundled }}
{{- if .Values.redis.password.secretName }}
- name: REDIS_PASSWORD
  valueFrom: {{ include "outlook-monitor.redisPassword" . }}
{{- end }}
- { name: REDIS_URL, value: "redis://:$(REDIS_PASSWORD)@{{ include "outlook-monitor.redisName" . }}:6379/0" }
{{- end }}
{{- range $name, $value := .Values.settings }}
- { name: {{ $name }}, value: {{ ternary (toJson $value) (toString $value) (kindIs "float64" $value) | quote }} }
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* volumes are the files that the environment names. */}}
{{- define "outlook-monitor.volumes" -}}
{{- with .Values.azure }}
{{- if eq .credential "certificate" }}
- { name: azure, secret: { secretName: {{ .certificate.secretName }}, defaultMode: 0440 } }
{{- else if and (eq .credential "workloadIdentity") .workloadIdentity.projectToken }}
- name: azure
  projected:
    sources:
      - serviceAccountToken: { path: azure-identity-token, audience: "api://AzureADTokenExchange", expirationSeconds: 3600 }
{{- end }}
{{- end }}
{{- if .Values.tls.secretName }}
- { name: tls, secret: { secretName: {{ .Values.tls.secretName }}, defaultMode: 0440 } }
{{- end }}
{{- range $i, $name := .Values.encryption.secretNames }}
- { name: encryption-{{ $i }}, secret: { secretName: {{ $name }}, defaultMode: 0440 } }
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "outlook-monitor.mounts" -}}
{{- with .Values.azure }}
{{- if eq .credential "certificate" }}
- { name: azure, mountPath: /etc/outlook-monitor/azure, readOnly: true }
{{- else if and (eq .credential "workloadIdentity") .workloadIdentity.projectToken }}
- { name: azure, mountPath: /var/run/secrets/azure/tokens, readOnly: true }
{{- end }}
{{- end }}
{{- if .Values.tls.secretName }}
- { name: tls, mountPath: /etc/outlook-monitor/tls, readOnly: true }
{{- end }}
{{- range $i, $_ := .Values.encryption.secretNames }}
- { name: encryption-{{ $i }}, mountPath: /etc/outlook-monitor/encryption/{{ $i }}, readOnly: true }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
