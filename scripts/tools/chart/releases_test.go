package chart_test

import (
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
)

const app = "azure: { tenantId: the-tenant, clientId: the-client }\n"

// releases are sets of values that the chart must support.
var releases = map[string]struct {
	values  string
	objects []string // besides those of every release
}{
	"defaults": {app, []string{
		"NetworkPolicy ooo-outlook-monitor-redis", "Service ooo-outlook-monitor-redis", "StatefulSet ooo-outlook-monitor-redis",
	}},
	"all features": {everything, []string{
		"HorizontalPodAutoscaler ooo-outlook-monitor", "Ingress ooo-outlook-monitor", "NetworkPolicy ooo-outlook-monitor-redis",
		"PrometheusRule ooo-outlook-monitor", "Service ooo-outlook-monitor-redis", "ServiceMonitor ooo-outlook-monitor",
		"StatefulSet ooo-outlook-monitor-redis",
	}},
	"external Redis": {app + `
redis: { bundled: false }
networkPolicy: { redis: { ports: [6379, 26379], to: [{ ipBlock: { cidr: 10.1.0.0/16 } }] } }
`, nil},
	"workload identity, token from the webhook": {`
azure: { tenantId: the-tenant, clientId: the-client, credential: workloadIdentity }
redis: { bundled: false }
`, nil},
	"workload identity, token from the chart": {`
azure: { tenantId: the-tenant, clientId: the-client, credential: workloadIdentity, workloadIdentity: { projectToken: true } }
redis: { bundled: false }
`, nil},
	"client certificate": {`
azure: { tenantId: the-tenant, clientId: the-client, credential: certificate, certificate: { secretName: login } }
redis: { bundled: false }
`, nil},
	"managed identity": {`
azure: { credential: managedIdentity }
redis: { bundled: false }
`, nil},
	"TLS in the service": {app + `
publicUrl: https://monitor.example.com
tls: { secretName: public }
service: { type: LoadBalancer, port: 443, externalTrafficPolicy: Local, loadBalancerSourceRanges: [20.0.0.0/8] }
redis: { bundled: false }
`, nil},
}

const everything = app + `
publicUrl: https://monitor.example.com:443/
image: { repository: registry.example.com/outlook-monitor, digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123", pullSecrets: [registry] }
secret: { name: secrets, keys: { MONITOR_TOKEN: token, AZURE_CLIENT_SECRET: azure } }
settings: { POLL_INTERVAL: 5s, PUBLIC_RATE_LIMIT: 5000000, TRUSTED_PROXIES: 10.0.0.0/8, OTEL_EXPORTER_OTLP_ENDPOINT: "http://otel:4318" }
extraEnv: [{ name: HTTPS_PROXY, value: "http://proxy:3128" }]
extraVolumes: [{ name: ca, configMap: { name: ca } }]
extraVolumeMounts: [{ name: ca, mountPath: /etc/ca }]
encryption: { secretNames: [new, old] }
ingress: { enabled: true, className: nginx, annotations: { cert-manager.io/cluster-issuer: letsencrypt }, tls: { secretName: monitor-tls } }
resources: { requests: { cpu: 1, memory: 512Mi }, limits: { cpu: 2, memory: 1Gi } }
autoscaling: { enabled: true, queueLag: { enabled: true } }
serviceAccount: { name: monitor, annotations: { a: b } }
podAnnotations: { a: b }
podLabels: { team: voice }
nodeSelector: { kubernetes.io/os: linux }
tolerations: [{ key: voice, operator: Exists }]
affinity: { nodeAffinity: {} }
priorityClassName: high
networkPolicy:
  private: [{ namespaceSelector: {} }]
  dns: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } } }]
  https: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.0.0.0/8] } }]
  extraEgress: [{ ports: [{ port: 4318 }] }]
metrics: { serviceMonitor: { enabled: true, labels: { release: prometheus } }, prometheusRule: { enabled: true, labels: { release: prometheus } } }
redis:
  storageClassName: fast
  appendfsync: always
  password: { secretName: redis }
  resources: { limits: { memory: 1Gi } }
  nodeSelector: { disk: fast }
  tolerations: [{ key: disk, operator: Exists }]
`

func TestObjects(t *testing.T) {
	always := []string{
		"Deployment ooo-outlook-monitor", "NetworkPolicy ooo-outlook-monitor", "PodDisruptionBudget ooo-outlook-monitor",
		"Service ooo-outlook-monitor-private", "Service ooo-outlook-monitor-public",
	}
	for name, release := range releases {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, release.values)
			got := slices.DeleteFunc(found.names(), func(name string) bool { return strings.HasPrefix(name, "ServiceAccount ") })
			if want := slices.Sorted(slices.Values(append(always, release.objects...))); !slices.Equal(got, want) {
				t.Errorf("objects = %q, want %q", got, want)
			}
		})
	}
}

// deployment returns the service's Deployment and its container.
func deployment(t *testing.T, o objects) (*apps.Deployment, core.Container) {
	t.Helper()
	d := get[*apps.Deployment](t, o, "Deployment ooo-outlook-monitor")
	if n := len(d.Spec.Template.Spec.Containers); n != 1 {
		t.Fatalf("containers = %d, want 1", n)
	}
	return d, d.Spec.Template.Spec.Containers[0]
}

// TestGuideValues renders the values in deploy/INSTALL.md.
func TestGuideValues(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, "deploy/INSTALL.md"), "in `my-values.yaml`:\n")
	block, _, ok := strings.Cut(strings.TrimLeft(rest, "\n"), "\n\n")
	if !ok {
		t.Fatal("the guide shows no values")
	}
	values := strings.ReplaceAll(block, "…", "the-id")
	found, notes, err := render(values)
	if err != nil {
		t.Fatalf("%v\n%s", err, values)
	}
	if found["Ingress ooo-outlook-monitor"] == nil || !strings.Contains(notes, "https://monitor.example.com must lead to it") {
		t.Errorf("objects = %q, want an ingress; notes = %s", found.names(), notes)
	}
}
