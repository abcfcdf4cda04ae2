package chart_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

// Variables that the chart sets from other values.
var fromValues = []string{
	"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_MANAGED_IDENTITY",
	"PUBLIC_URL", "MEDIATOR_URL", "LISTEN_ADDR", "PRIVATE_ADDR", "TLS_CERT_FILE", "TLS_KEY_FILE",
	"ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE", "REDIS_URL",
}

// Variables that come only from the Secret. REDIS_URL may instead point to the bundled
// Redis; the cluster then expands the password.
var secrets = []string{
	"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "CLIENT_STATE_KEY", "MEDIATOR_SIGNING_SECRET", "MEDIATOR_TOKEN",
	"MONITOR_TOKEN", "REDIS_PASSWORD",
}

// unsupported matches the settings that the chart does not offer: a token is required in a
// cluster, tunnels are for development, and secrets are variables rather than files.
var unsupported = regexp.MustCompile("^(ALLOW_ANONYMOUS|TUNNEL|NGROK_)|_(URL|TOKEN|SECRET|PASSWORD|STATE_KEY)_FILE$")

// others are variables that are not settings of the program.
var others = []string{"GOMEMLIMIT", "REDIS_PASSWORD"}

var row = regexp.MustCompile("(?m)^\\| `([A-Z][A-Z0-9_]+)` \\|.*\\|.*\\|$")

// settings lists the program's settings in SETTINGS.md, which a test of the program keeps
// complete.
func settings(t *testing.T) (names []string) {
	t.Helper()
	_, table, _ := strings.Cut(read(t, "deploy/SETTINGS.md"), "| setting | default | meaning |")
	for _, found := range row.FindAllStringSubmatch(table, -1) {
		names = append(names, found[1])
	}
	if len(names) < 30 {
		t.Fatalf("SETTINGS.md has %d settings, want at least 30", len(names))
	}
	return names
}

// offered lists the settings that values.schema.json allows.
func offered(t *testing.T) []string {
	t.Helper()
	var schema struct {
		Properties struct {
			Settings struct{ Properties map[string]any }
		}
	}
	noError(t, json.Unmarshal([]byte(read(t, "deploy/helm/outlook-monitor/values.schema.json")), &schema))
	return slices.Sorted(maps.Keys(schema.Properties.Settings.Properties))
}

func TestChartCoversAllSettings(t *testing.T) {
	all, covered := settings(t), slices.Concat(fromValues, secrets, offered(t))
	for _, name := range all {
		if !slices.Contains(covered, name) && !unsupported.MatchString(name) {
			t.Errorf("setting %s is missing: add it to properties.settings in values.schema.json, or to unsupported here", name)
		}
	}
	for _, name := range covered {
		if !slices.Contains(slices.Concat(all, others), name) {
			t.Errorf("%s is not a setting of the program: remove it from the chart", name)
		}
	}
}

// describe returns the value of a variable, or "key of Secret".
func describe(env core.EnvVar) string {
	if env.ValueFrom == nil {
		return env.Value
	}
	ref := env.ValueFrom.SecretKeyRef
	text := fmt.Sprintf("%s of %s", ref.Key, ref.Name)
	if ref.Optional != nil && *ref.Optional {
		text += ", optional"
	}
	return text
}

func TestEnvironment(t *testing.T) {
	const none = ""
	wants := map[string]map[string]string{ // by release
		"defaults": {
			"AZURE_TENANT_ID": "the-tenant", "AZURE_CLIENT_ID": "the-client", "PUBLIC_URL": none,
			"AZURE_CLIENT_SECRET": "AZURE_CLIENT_SECRET of outlook-monitor", "MONITOR_TOKEN": "MONITOR_TOKEN of outlook-monitor",
			"MEDIATOR_TOKEN": "MEDIATOR_TOKEN of outlook-monitor, optional", "AZURE_CLIENT_CERTIFICATE_PASSWORD": none,
			"REDIS_PASSWORD": "REDIS_PASSWORD of outlook-monitor",
			"REDIS_URL":      "redis://:$(REDIS_PASSWORD)@ooo-outlook-monitor-redis:6379/0", "LISTEN_ADDR": ":8080", "PRIVATE_ADDR": ":8081", "GOMEMLIMIT": "230MiB",
		},
		"all features": {
			"AZURE_CLIENT_SECRET": "azure of secrets", "MONITOR_TOKEN": "token of secrets", "POLL_INTERVAL": "5s", "PUBLIC_RATE_LIMIT": "5000000",
			"HTTPS_PROXY": "http://proxy:3128", "GOMEMLIMIT": "921MiB", "REDIS_PASSWORD": "password of redis",
			"REDIS_URL":            "redis://:$(REDIS_PASSWORD)@ooo-outlook-monitor-redis:6379/0",
			"ENCRYPTION_CERT_FILE": "/etc/outlook-monitor/encryption/0/tls.crt,/etc/outlook-monitor/encryption/1/tls.crt",
			"ENCRYPTION_KEY_FILE":  "/etc/outlook-monitor/encryption/0/tls.key,/etc/outlook-monitor/encryption/1/tls.key",
		},
		"external Redis": {"REDIS_URL": "REDIS_URL of outlook-monitor"},
		"workload identity, token from the webhook": {"AZURE_CLIENT_SECRET": none, "AZURE_FEDERATED_TOKEN_FILE": none, "AZURE_CLIENT_ID": "the-client"},
		"workload identity, token from the chart": {
			"AZURE_CLIENT_SECRET": none, "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
		},
		"client certificate": {
			"AZURE_CLIENT_SECRET": none, "AZURE_CLIENT_CERTIFICATE_PATH": "/etc/outlook-monitor/azure/tls.pem",
			"AZURE_CLIENT_CERTIFICATE_PASSWORD": "AZURE_CLIENT_CERTIFICATE_PASSWORD of outlook-monitor, optional",
		},
		"managed identity":   {"AZURE_CLIENT_SECRET": none, "AZURE_MANAGED_IDENTITY": "true", "AZURE_TENANT_ID": none},
		"TLS in the service": {"TLS_CERT_FILE": "/etc/outlook-monitor/tls/tls.crt", "TLS_KEY_FILE": "/etc/outlook-monitor/tls/tls.key"},
	}
	known := slices.Concat(settings(t), others, []string{"HTTPS_PROXY", "OTEL_EXPORTER_OTLP_ENDPOINT"})
	for name, release := range releases {
		t.Run(name, func(t *testing.T) {
			found, _ := rendered(t, release.values)
			_, container := deployment(t, found)
			got := map[string]string{}
			for _, env := range container.Env {
				if !slices.Contains(known, env.Name) {
					t.Errorf("%s is not a setting", env.Name)
				}
				if _, twice := got[env.Name]; twice {
					t.Errorf("%s is set twice", env.Name)
				}
				got[env.Name] = describe(env)
				if slices.Contains(secrets, env.Name) && (env.Value != "" || env.ValueFrom == nil || env.ValueFrom.SecretKeyRef == nil) {
					t.Errorf("%s does not come from a Secret", env.Name)
				}
			}
			for _, required := range []string{"MONITOR_TOKEN", "MEDIATOR_URL", "REDIS_URL"} {
				if _, ok := got[required]; !ok || len(container.EnvFrom) > 0 {
					t.Errorf("variables = %q, want %s, and no envFrom", got, required)
				}
			}
			for variable, text := range wants[name] {
				if got[variable] != text {
					t.Errorf("%s = %q, want %q", variable, got[variable], text)
				}
			}
		})
	}
}

func TestGoMemoryLimit(t *testing.T) {
	tests := map[string]string{"256Mi": "230MiB", "1Gi": "921MiB", "1.5Gi": "1382MiB", "500M": "429MiB", "300000k": "257MiB", "536870912": "460MiB"}
	for limit, want := range tests {
		t.Run(limit, func(t *testing.T) {
			found, _ := rendered(t, app+fmt.Sprintf("resources: { limits: { memory: %q } }", limit))
			_, container := deployment(t, found)
			i := slices.IndexFunc(container.Env, func(env core.EnvVar) bool { return env.Name == "GOMEMLIMIT" })
			if i < 0 || container.Env[i].Value != want {
				t.Errorf("environment = %v, want GOMEMLIMIT %s", container.Env, want)
			}
		})
	}
}
