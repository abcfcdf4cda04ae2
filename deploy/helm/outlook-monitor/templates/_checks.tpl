{{- /* checks refuses values that don't fit together, all of them at once. What is
wrong with a value alone is told by values.schema.json. */}}
{{- define "outlook-monitor.checks" -}}
{{- $wrong := list }}
{{- with .Values }}
{{- if not .image.repository }}
{{- $wrong = append $wrong "image.repository is not set: write where your image is, such as registry.example.com/outlook-monitor" }}
{{- end }}
{{- if not .mediator.url }}
{{- $wrong = append $wrong "mediator.url is not set: write the base URL of the mediator, such as http://mediator.voice:5000" }}
{{- else if not (regexMatch "^https?://[^/@?#[:space:]]+(/[^@?#[:space:]]*)?$" .mediator.url) }}
{{- $wrong = append $wrong "mediator.url is no base URL: write http:// or https:// and a host, without user and password (MEDIATOR_TOKEN belongs in the Secret)" }}
{{- end }}
{{- if not (regexMatch "^(https://[^/@?#[:space:]]+(/[^@?#[:space:]]*)?)?$" .publicUrl) }}
{{- $wrong = append $wrong "publicUrl is no https URL: write https:// and the host under which Graph reaches this service, or leave it out" }}
{{- end }}
{{- if ne .azure.credential "managedIdentity" }}
{{- if not .azure.tenantId }}
{{- $wrong = append $wrong "azure.tenantId is not set: write the directory (tenant) id of the app registration" }}
{{- end }}
{{- if not .azure.clientId }}
{{- $wrong = append $wrong "azure.clientId is not set: write the application (client) id of the app registration" }}
{{- end }}
{{- end }}
{{- if and (eq .azure.credential "certificate") (not .azure.certificate.secretName) }}
{{- $wrong = append $wrong "azure.certificate.secretName is not set: name the Secret that holds the certificate, or choose another azure.credential" }}
{{- end }}
{{- if and .ingress.enabled (not .publicUrl) }}
{{- $wrong = append $wrong "publicUrl is not set, but ingress.enabled is: write the https URL under which Graph reaches the ingress" }}
{{- end }}
{{- if and .ingress.enabled (regexMatch "^https://[^/]+/." .publicUrl) }}
{{- $wrong = append $wrong (printf "publicUrl is %s, but the ingress leads /graph/ without a path before it: write https:// and a host, or make an ingress of your own that takes the path away" .publicUrl) }}
{{- end }}
{{- if and .ingress.enabled (not .settings.TRUSTED_PROXIES) }}
{{- $wrong = append $wrong "settings.TRUSTED_PROXIES is not set, but ingress.enabled is: write the networks of the ingress controller's pods, or all callers share one rate limit" }}
{{- end }}
{{- if and .ingress.enabled .tls.secretName }}
{{- $wrong = append $wrong "tls.secretName and ingress.enabled are both set: end TLS at one of them (the ingress' certificate is ingress.tls.secretName)" }}
{{- end }}
{{- if and .tls.secretName .settings.ACME_DOMAINS }}
{{- $wrong = append $wrong "tls.secretName and settings.ACME_DOMAINS are both set: take one" }}
{{- end }}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) }}
{{- $wrong = append $wrong (printf "autoscaling.minReplicas is %d and maxReplicas %d: write a maxReplicas that is no smaller" (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) }}
{{- end }}
{{- if and .autoscaling.enabled (not .autoscaling.cpu.enabled) (not .autoscaling.queueLag.enabled) }}
{{- $wrong = append $wrong "autoscaling.enabled is set, but neither autoscaling.cpu.enabled nor autoscaling.queueLag.enabled: choose what to scale by" }}
{{- end }}
{{- if and .autoscaling.enabled .autoscaling.cpu.enabled (not (dig "requests" "cpu" "" .resources)) }}
{{- $wrong = append $wrong "resources.requests.cpu is not set, but autoscaling.cpu.target is a percentage of it: set it" }}
{{- end }}
{{- if and .redis.bundled (eq (dig "REDIS_AUTH" "url" .settings | toString | lower) "entra") }}
{{- $wrong = append $wrong "settings.REDIS_AUTH is entra, but redis.bundled is true: set redis.bundled: false and REDIS_URL in the Secret" }}
{{- end }}
{{- range .extraEnv }}
{{- if has .name (list "MONITOR_TOKEN" "MEDIATOR_TOKEN" "MEDIATOR_SIGNING_SECRET" "CLIENT_STATE_KEY" "AZURE_CLIENT_SECRET" "AZURE_CLIENT_CERTIFICATE_PASSWORD" "REDIS_URL" "REDIS_PASSWORD") }}
{{- $wrong = append $wrong (printf "extraEnv names %s: put it into the Secret that secret.name names" .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if $wrong }}
{{- fail (printf "\n  - %s" (join "\n  - " $wrong)) }}
{{- end }}
{{- end }}
