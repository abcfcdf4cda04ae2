package chart_test

import (
	"strings"
	"testing"
)

// TestInvalidValues checks that errors say what to change.
func TestInvalidValues(t *testing.T) {
	for name, tt := range map[string]struct{ values, want string }{
		"no replica":                    {"replicaCount: 0", "at '/replicaCount': minimum: got 0, want 1"},
		"misspelled value":              {"replicas: 3", "additional properties 'replicas' not allowed"},
		"misspelled setting":            {"settings: { POL_INTERVAL: 5s }", "at '/settings': additional properties 'POL_INTERVAL' not allowed"},
		"secret in settings":            {"settings: { MONITOR_TOKEN: x }", "at '/settings': additional properties 'MONITOR_TOKEN' not allowed"},
		"secret in extraEnv":            {"extraEnv: [{ name: MEDIATOR_TOKEN, value: x }]", "extraEnv names MEDIATOR_TOKEN: put it into the Secret"},
		"unknown secret key":            {"secret: { keys: { MONITOR: token } }", "at '/secret/keys': additional properties 'MONITOR' not allowed"},
		"no Secret":                     {`secret: { name: "" }`, "at '/secret/name'"},
		"unknown credential":            {"azure: { credential: password }", "at '/azure/credential': value must be one of 'secret', 'certificate', 'workloadIdentity', 'managedIdentity'"},
		"certificate without name":      {"azure: { credential: certificate }", "azure.certificate.secretName is not set"},
		"mediator without scheme":       {"mediator: { url: mediator:5000 }", "mediator.url is no base URL"},
		"password in the mediator URL":  {"mediator: { url: 'http://me:secret@mediator:5000' }", "MEDIATOR_TOKEN belongs in the Secret"},
		"public URL without TLS":        {"publicUrl: http://monitor.example.com", "publicUrl is no https URL"},
		"memory in the wrong unit":      {"resources: { limits: { memory: 256MB } }", "at '/resources/limits/memory': '256MB' does not match pattern"},
		"memory without quotes or unit": {"resources: { limits: { memory: 268435456 } }", "at '/resources/limits/memory': got number, want string"},
		"port out of range":             {"service: { port: 80800 }", "at '/service/port': maximum: got 80,800, want 65,535"},
		"unknown service type":          {"service: { type: Loadbalancer }", "at '/service/type': value must be one of"},
		"invalid policy peer":           {"networkPolicy: { mediator: [{ matchLabels: { app: m } }] }", "additional properties 'matchLabels' not allowed"},
		"ingress without public URL":    {"ingress: { enabled: true }", "publicUrl is not set, but ingress.enabled is"},
		"public URL with path":          {"ingress: { enabled: true }\npublicUrl: https://example.com/ooo", "the ingress leads /graph/ without a path before it"},
		"TLS in ingress and service":    {"ingress: { enabled: true }\npublicUrl: https://a.example.com\ntls: { secretName: x }", "end TLS at one of them"},
		"untrusted ingress":             {"ingress: { enabled: true }\npublicUrl: https://a.example.com", "settings.TRUSTED_PROXIES is not set, but ingress.enabled is"},
		"Redis password in extraEnv":    {"extraEnv: [{ name: REDIS_PASSWORD, value: x }]", "extraEnv names REDIS_PASSWORD: put it into the Secret"},
		"two sources of certificates":   {"settings: { ACME_DOMAINS: a.example.com }\ntls: { secretName: x }", "tls.secretName and settings.ACME_DOMAINS are both set"},
		"minReplicas above maxReplicas": {"autoscaling: { enabled: true, minReplicas: 7 }", "autoscaling.minReplicas is 7 and maxReplicas 6"},
		"no autoscaling metric":         {"autoscaling: { enabled: true, cpu: { enabled: false } }", "choose what to scale by"},
		"CPU target without request":    {"autoscaling: { enabled: true }\nresources: { requests: { cpu: null } }", "autoscaling.cpu.target is a percentage of it"},
		"invalid lag":                   {"autoscaling: { queueLag: { target: soon } }", "at '/autoscaling/queueLag/target'"},
		"maxUnavailable 0":              {"podDisruptionBudget: { maxUnavailable: 0 }", "at '/podDisruptionBudget/maxUnavailable': minimum: got 0, want 1"},
		"Entra login to bundled Redis":  {"settings: { REDIS_AUTH: entra }", "settings.REDIS_AUTH is entra, but redis.bundled is true"},
		"Redis without memory limit":    {"redis: { resources: { limits: null } }", "at '/redis/resources'"},
		"appendfsync no":                {`redis: { appendfsync: "no" }`, "at '/redis/appendfsync': value must be one of 'everysec', 'always'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := render(tt.values, app, needed)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// TestAllMissingValuesAreReported: one error names all missing values.
func TestAllMissingValuesAreReported(t *testing.T) {
	_, _, err := render()
	for _, name := range []string{"image.repository", "mediator.url", "azure.tenantId", "azure.clientId"} {
		if err == nil || !strings.Contains(err.Error(), name+" is not set: write ") {
			t.Errorf("error = %v, want one that names %s", err, name)
		}
	}
}
