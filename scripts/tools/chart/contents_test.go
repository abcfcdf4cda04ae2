package chart_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func TestRollingUpdate(t *testing.T) {
	for name, release := range releases {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, release.values)
			d, container := deployment(t, found)
			rolling := d.Spec.Strategy.RollingUpdate
			if rolling.MaxUnavailable.IntValue() != 0 || rolling.MaxSurge.IntValue() != 1 {
				t.Errorf("rolling update = %v, want maxUnavailable 0 and maxSurge 1", rolling)
			}
			const drain = 10 // seconds in which the service drains
			grace, sleep := *d.Spec.Template.Spec.TerminationGracePeriodSeconds, container.Lifecycle.PreStop.Sleep.Seconds
			if grace != 20 || sleep+drain >= grace {
				t.Errorf("grace = %d s with %d s of sleep, want 20 s, and time to drain", grace, sleep)
			}
			budget := get[*policy.PodDisruptionBudget](t, found, "PodDisruptionBudget ooo-outlook-monitor")
			if budget.Spec.MaxUnavailable.IntValue() != 1 {
				t.Errorf("maxUnavailable = %v, want 1", budget.Spec.MaxUnavailable)
			}
			if n := len(d.Spec.Template.Spec.TopologySpreadConstraints); n != 2 {
				t.Errorf("topologySpreadConstraints = %d, want 2", n)
			}
		})
	}
}

func TestImage(t *testing.T) {
	for name, tt := range map[string]struct{ values, want string }{
		"tag":            {"", "registry.example.com/outlook-monitor:2.3.4"},
		"appVersion":     {`image: { tag: "" }`, "registry.example.com/outlook-monitor:1.0.0"},
		"tag and digest": {"image: { digest: 'sha256:" + strings.Repeat("0", 64) + "' }", "registry.example.com/outlook-monitor@sha256:" + strings.Repeat("0", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, app+tt.values)
			if _, container := deployment(t, found); container.Image != tt.want {
				t.Errorf("image = %s, want %s", container.Image, tt.want)
			}
		})
	}
}

func TestReplicaCountAndAutoscaling(t *testing.T) {
	found, _ := rendered(t, app+"replicaCount: 3")
	if d, _ := deployment(t, found); d.Spec.Replicas == nil || *d.Spec.Replicas != 3 {
		t.Errorf("replicas = %v, want 3", d.Spec.Replicas)
	}
	const (
		cpu = "{ type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: %d } } }"
		lag = "metric: { name: outlook_monitor_backlog_lag_seconds, selector: { matchLabels: { work: read } } }"
	)
	for name, tt := range map[string]struct{ values, want string }{
		"CPU": {"", fmt.Sprintf(cpu, 70)},
		"pod lag": {", cpu: { enabled: false }, queueLag: { enabled: true, target: 500m }",
			"{ type: Pods, pods: { " + lag + ", target: { type: AverageValue, averageValue: 500m } } }"},
		"external lag": {", cpu: { target: 50 }, queueLag: { enabled: true, type: External }",
			fmt.Sprintf(cpu, 50) + ", { type: External, external: { " + lag + ", target: { type: Value, value: 1 } } }"},
	} {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, app+"autoscaling: { enabled: true"+tt.values+" }")
			if d, _ := deployment(t, found); d.Spec.Replicas != nil {
				t.Errorf("replicas = %d with an autoscaler, want none", *d.Spec.Replicas)
			}
			scaler := get[*autoscaling.HorizontalPodAutoscaler](t, found, "HorizontalPodAutoscaler ooo-outlook-monitor")
			if *scaler.Spec.MinReplicas != 2 || scaler.Spec.MaxReplicas != 6 {
				t.Errorf("replicas = %d to %d, want 2 to 6", *scaler.Spec.MinReplicas, scaler.Spec.MaxReplicas)
			}
			var want []autoscaling.MetricSpec
			noError(t, yaml.UnmarshalStrict([]byte("["+tt.want+"]"), &want))
			if got := scaler.Spec.Metrics; !reflect.DeepEqual(got, want) {
				t.Errorf("metrics = %v, want %v", got, want)
			}
		})
	}
}

// TestOnlyGraphPathsArePublic checks what is exposed to the internet.
func TestOnlyGraphPathsArePublic(t *testing.T) {
	found, _ := rendered(t, everything)
	ingress := get[*networking.Ingress](t, found, "Ingress ooo-outlook-monitor")
	if got := ingress.Spec.TLS[0]; got.SecretName != "monitor-tls" || !slices.Equal(got.Hosts, []string{"monitor.example.com"}) {
		t.Errorf("tls = %v, want that of monitor.example.com", got)
	}
	var got []string
	for _, rule := range ingress.Spec.Rules {
		for _, path := range rule.HTTP.Paths {
			got = append(got, fmt.Sprintf("%s %s%s to %s", *path.PathType, rule.Host, path.Path, path.Backend.Service.Name))
		}
	}
	want := []string{
		"Exact monitor.example.com/graph/notifications to ooo-outlook-monitor-public",
		"Exact monitor.example.com/graph/lifecycle to ooo-outlook-monitor-public",
	}
	if !slices.Equal(got, want) {
		t.Errorf("paths = %q, want %q", got, want)
	}
	found, _ = rendered(t, releases["TLS in the service"].values)
	for name, kind := range map[string]core.ServiceType{"public": core.ServiceTypeLoadBalancer, "private": core.ServiceTypeClusterIP} {
		if service := get[*core.Service](t, found, "Service ooo-outlook-monitor-"+name); service.Spec.Type != kind {
			t.Errorf("type of the %s Service = %s, want %s", name, service.Spec.Type, kind)
		}
	}
}

func TestRedisPersistsAndDoesNotEvict(t *testing.T) {
	for name, tt := range map[string]struct {
		values string
		secret string // name and key of the password
		want   map[string]string
	}{
		"defaults":     {app, "outlook-monitor REDIS_PASSWORD", map[string]string{"--maxmemory": "214748364", "--appendfsync": "everysec"}},
		"all features": {everything, "redis password", map[string]string{"--maxmemory": "429496729", "--appendfsync": "always"}},
		"other key": {app + "secret: { keys: { REDIS_PASSWORD: redis } }", "outlook-monitor redis",
			map[string]string{"--maxmemory": "214748364", "--appendfsync": "everysec"}},
	} {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, tt.values)
			set := get[*apps.StatefulSet](t, found, "StatefulSet ooo-outlook-monitor-redis")
			container := set.Spec.Template.Spec.Containers[0]
			got := map[string]string{}
			for pair := range slices.Chunk(container.Args, 2) {
				got[pair[0]] = pair[len(pair)-1]
			}
			want := map[string]string{"--appendonly": "yes", "--save": "", "--maxmemory-policy": "noeviction", "--requirepass": "$(REDISCLI_AUTH)"}
			maps.Copy(want, tt.want)
			if !maps.Equal(got, want) {
				t.Errorf("options = %q, want %q", got, want)
			}
			_, replica := deployment(t, found)
			for name, env := range map[string][]core.EnvVar{"REDISCLI_AUTH": container.Env, "REDIS_PASSWORD": replica.Env} {
				i := slices.IndexFunc(env, func(e core.EnvVar) bool { return e.Name == name })
				if i < 0 || env[i].ValueFrom == nil {
					t.Errorf("%s does not come from a Secret", name)
				} else if ref := env[i].ValueFrom.SecretKeyRef; ref.Name+" "+ref.Key != tt.secret {
					t.Errorf("%s = key %s of Secret %s, want %s", name, ref.Key, ref.Name, tt.secret)
				}
			}
			if got := container.VolumeMounts[0].MountPath; got != "/data" || container.WorkingDir != got {
				t.Errorf("working directory of Redis = %s, mount path = %s, want /data for both", container.WorkingDir, got)
			}
		})
	}
}

func TestWorkloadIdentity(t *testing.T) {
	for _, name := range []string{"workload identity, token from the webhook", "workload identity, token from the chart"} {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, releases[name].values)
			account := get[*core.ServiceAccount](t, found, "ServiceAccount ooo-outlook-monitor")
			want := map[string]string{"azure.workload.identity/client-id": "the-client", "azure.workload.identity/tenant-id": "the-tenant"}
			if !maps.Equal(account.Annotations, want) {
				t.Errorf("annotations = %q, want %q", account.Annotations, want)
			}
			d, _ := deployment(t, found)
			if got := d.Spec.Template.Labels["azure.workload.identity/use"]; got != "true" || d.Spec.Template.Spec.ServiceAccountName != account.Name {
				t.Errorf("label = %q, account = %q, want true and the service account", got, d.Spec.Template.Spec.ServiceAccountName)
			}
		})
	}
	found, _ := rendered(t, releases["workload identity, token from the chart"].values)
	d, _ := deployment(t, found)
	token := d.Spec.Template.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken
	if token.Audience != "api://AzureADTokenExchange" || token.Path != "azure-identity-token" {
		t.Errorf("token = %v, want a token for Microsoft Entra", token)
	}
}

func TestPrometheus(t *testing.T) {
	found, _ := rendered(t, everything)
	monitor := get[*monitoring.ServiceMonitor](t, found, "ServiceMonitor ooo-outlook-monitor")
	endpoint := monitor.Spec.Endpoints[0]
	if token := endpoint.Authorization.Credentials; endpoint.Path != "/metrics" || token.Name != "secrets" || token.Key != "token" {
		t.Errorf("endpoint = %s with %s of %s, want /metrics with the token of the Secret", endpoint.Path, token.Key, token.Name)
	}
	// The rules refer to this job.
	private := get[*core.Service](t, found, "Service ooo-outlook-monitor-private")
	if got := private.Labels[monitor.Spec.JobLabel]; got != "outlook-monitor" {
		t.Errorf("job = %q, want outlook-monitor", got)
	}
	rules := get[*monitoring.PrometheusRule](t, found, "PrometheusRule ooo-outlook-monitor")
	var want monitoring.PrometheusRuleSpec
	noError(t, yaml.UnmarshalStrict([]byte(read(t, "deploy/prometheus/rules.yaml")), &want))
	if rules.Labels["release"] != "prometheus" || len(want.Groups) == 0 || !reflect.DeepEqual(rules.Spec, want) {
		t.Errorf("rules = %v, want the rules in deploy/prometheus: %v", rules.Spec, want)
	}
}

func TestNotes(t *testing.T) {
	for name, tt := range map[string]struct {
		values string
		want   []string
	}{
		"defaults": {app, []string{
			"kubectl create secret generic outlook-monitor --namespace voice",
			"--from-literal=AZURE_CLIENT_SECRET=…", `--from-literal=MONITOR_TOKEN="$(openssl rand -hex 32)"`,
			`--from-literal=REDIS_PASSWORD="$(openssl rand -hex 32)"`,
			"kubectl rollout status deployment/ooo-outlook-monitor --namespace voice",
			"http://mediator:MONITOR_TOKEN@ooo-outlook-monitor-private.voice.svc:8081",
			"publicUrl is not set: there are no subscriptions, mailboxes are read every 2s",
			"data-ooo-outlook-monitor-redis-0", "look at networkPolicy first",
		}},
		"no ingress": {app + "publicUrl: https://a.example.com", []string{"Lead https://a.example.com to the Service ooo-outlook-monitor-public, port 8080"}},
		"policy without sources": {app + "publicUrl: https://a.example.com\nnetworkPolicy: { ingressController: [] }", []string{
			"networkPolicy.ingressController is empty: nobody can reach the public port"}},
		"all features":   {everything, []string{"kubectl create secret generic secrets", "--from-literal=azure=…", "--from-literal=token="}},
		"external Redis": {releases["external Redis"].values, []string{"--from-literal=REDIS_URL=…"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, notes := rendered(t, tt.values)
			for _, words := range tt.want {
				if !strings.Contains(notes, words) {
					t.Errorf("notes = %s\nwant %q in them", notes, words)
				}
			}
		})
	}
}
