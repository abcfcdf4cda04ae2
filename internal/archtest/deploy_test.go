package archtest_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"outlook-monitor/internal/config"
)

const (
	compose = "deploy/compose.yaml"
	service = "deploy/kubernetes/outlook-monitor.yaml"
	storage = "deploy/kubernetes/redis.yaml"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := fs.ReadFile(root(t), file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// manifest returns the document of a file that has the given kind; a file
// without kinds is one document.
func manifest(t *testing.T, file, kind string) string {
	t.Helper()
	for document := range strings.SplitSeq(read(t, file), "\n---\n") {
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if head.Kind == kind {
			return document
		}
	}
	t.Fatalf("%s holds no %s", file, kind)
	return ""
}

// at returns what a document has at a path.
func at[T any](t *testing.T, document, path string) (value T) {
	t.Helper()
	p, err := yaml.PathString(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Read(strings.NewReader(document), &value); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return value
}

func TestManifestsSay(t *testing.T) {
	const pod, probe = "$.spec.template.spec", "$.spec.template.spec.containers[0]"
	tests := []struct{ file, kind, path, want string }{
		{compose, "", "$.services.outlook-monitor.stop_grace_period", "15s"},
		{compose, "", "$.services.outlook-monitor.read_only", "true"},
		{compose, "", "$.services.outlook-monitor.cap_drop", "[ALL]"},
		{compose, "", "$.services.outlook-monitor.security_opt", "[no-new-privileges:true]"},
		{compose, "", "$.services.outlook-monitor.build", ".."},
		{compose, "", "$.services.outlook-monitor.ports", "[8080:8080 127.0.0.1:8081:8081]"},
		{compose, "", "$.services.outlook-monitor.environment.LISTEN_ADDR", ":8080"},
		{compose, "", "$.services.outlook-monitor.environment.PRIVATE_ADDR", ":8081"},
		{compose, "", "$.services.redis.read_only", "true"},
		{compose, "", "$.services.redis.cap_drop", "[ALL]"},
		{compose, "", "$.services.redis.security_opt", "[no-new-privileges:true]"},
		{compose, "", "$.services.redis.volumes", "[redis:/data]"},
		{compose, "", "$.services.redis.image", "redis:7"},

		{service, "Deployment", "$.spec.replicas", "2"},
		{service, "Deployment", pod + ".terminationGracePeriodSeconds", "15"},
		{service, "Deployment", pod + ".securityContext.runAsNonRoot", "true"},
		{service, "Deployment", probe + ".securityContext.readOnlyRootFilesystem", "true"},
		{service, "Deployment", probe + ".securityContext.allowPrivilegeEscalation", "false"},
		{service, "Deployment", probe + ".securityContext.capabilities.drop", "[ALL]"},
		{service, "Deployment", probe + ".livenessProbe.httpGet.path", "/healthz"},
		{service, "Deployment", probe + ".livenessProbe.httpGet.port", "private"},
		{service, "Deployment", probe + ".readinessProbe.httpGet.path", "/readyz"},
		{service, "Deployment", probe + ".readinessProbe.httpGet.port", "private"},
		{service, "Deployment", probe + ".envFrom[0].secretRef.name", "outlook-monitor"},
		{service, "Deployment", "$.spec.selector.matchLabels", "map[app.kubernetes.io/name:outlook-monitor]"},
		{service, "Deployment", "$.spec.template.metadata.labels", "map[app.kubernetes.io/name:outlook-monitor]"},
		{service, "Service", "$.spec.selector", "map[app.kubernetes.io/name:outlook-monitor]"},
		{service, "PodDisruptionBudget", "$.spec.selector.matchLabels", "map[app.kubernetes.io/name:outlook-monitor]"},
		{service, "PodDisruptionBudget", "$.spec.minAvailable", "1"},

		{storage, "StatefulSet", pod + ".securityContext.runAsNonRoot", "true"},
		{storage, "StatefulSet", probe + ".volumeMounts[0].mountPath", "/data"},
		{storage, "StatefulSet", probe + ".workingDir", "/data"},
		{storage, "StatefulSet", "$.spec.volumeClaimTemplates[0].metadata.name", "data"},
		{storage, "StatefulSet", "$.spec.template.metadata.labels", "map[app.kubernetes.io/name:outlook-monitor-redis]"},
		{storage, "Service", "$.metadata.name", "outlook-monitor-redis"},
		{storage, "Service", "$.spec.selector", "map[app.kubernetes.io/name:outlook-monitor-redis]"},
		{storage, "NetworkPolicy", "$.spec.podSelector.matchLabels", "map[app.kubernetes.io/name:outlook-monitor-redis]"},
	}
	for _, tt := range tests {
		t.Run(strings.TrimSpace(tt.file+" "+tt.kind+" "+tt.path), func(t *testing.T) {
			if got := fmt.Sprint(at[any](t, manifest(t, tt.file, tt.kind), tt.path)); got != tt.want {
				t.Errorf("value = %s, want %s", got, tt.want)
			}
		})
	}
}

// TestRedisKeepsWhatItIsGiven looks at what the manifests start Redis with.
func TestRedisKeepsWhatItIsGiven(t *testing.T) {
	commands := map[string][]string{
		"compose":    at[[]string](t, manifest(t, compose, ""), "$.services.redis.command"),
		"Kubernetes": at[[]string](t, manifest(t, storage, "StatefulSet"), "$.spec.template.spec.containers[0].command"),
	}
	want := map[string]string{
		"--appendonly": "yes", "--appendfsync": "everysec", "--save": "", "--maxmemory": "200mb", "--maxmemory-policy": "noeviction",
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			if len(command) == 0 || command[0] != "redis-server" {
				t.Fatalf("command = %q, want redis-server", command)
			}
			got := map[string]string{}
			for pair := range slices.Chunk(command[1:], 2) {
				got[pair[0]] = pair[len(pair)-1]
			}
			if !maps.Equal(got, want) {
				t.Errorf("options = %v, want %v", got, want)
			}
		})
	}
}

// TestMemoryLimitLeavesRoom compares GOMEMLIMIT with the container's limit.
func TestMemoryLimitLeavesRoom(t *testing.T) {
	deployment := manifest(t, service, "Deployment")
	kubernetes := pairs(at[[]map[string]string](t, deployment, "$.spec.template.spec.containers[0].env"))
	limits := map[string][2]string{
		"compose": {
			at[string](t, manifest(t, compose, ""), "$.services.outlook-monitor.environment.GOMEMLIMIT"),
			at[string](t, manifest(t, compose, ""), "$.services.outlook-monitor.mem_limit"),
		},
		"Kubernetes": {
			kubernetes["GOMEMLIMIT"],
			at[string](t, deployment, "$.spec.template.spec.containers[0].resources.limits.memory"),
		},
	}
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			soft, hard := mebibytes(t, limit[0]), mebibytes(t, limit[1])
			if share := float64(soft) / float64(hard); share < 0.85 || share > 0.95 {
				t.Errorf("GOMEMLIMIT = %d MiB of %d MiB, want about 90 %%", soft, hard)
			}
		})
	}
}

func mebibytes(t *testing.T, text string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(strings.ToLower(text), "%dm", &n); err != nil {
		t.Fatalf("%q is no number of MiB: %v", text, err)
	}
	return n
}

// pairs turns a container's env into a map.
func pairs(env []map[string]string) map[string]string {
	all := map[string]string{}
	for _, e := range env {
		all[e["name"]] = e["value"]
	}
	return all
}

// example returns the settings in deploy/env.example.
func example(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(read(t, "deploy/env.example")) {
		line = strings.TrimSuffix(line, "\n")
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			all[name] = value
		}
	}
	return all
}

// TestFilledInExampleStarts fills in what the example leaves empty and reads it
// together with what the manifests add, as the service does.
func TestFilledInExampleStarts(t *testing.T) {
	added := map[string]map[string]string{
		"compose":    at[map[string]string](t, manifest(t, compose, ""), "$.services.outlook-monitor.environment"),
		"Kubernetes": pairs(at[[]map[string]string](t, manifest(t, service, "Deployment"), "$.spec.template.spec.containers[0].env")),
	}
	var known []string
	for _, row := range config.Table() {
		known = append(known, row.Name)
	}
	known = append(known, "GOMEMLIMIT")
	for name, more := range added {
		t.Run(name, func(t *testing.T) {
			env := example(t)
			maps.Copy(env, map[string]string{
				"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "secret",
				"PUBLIC_URL": "https://monitor.example.com", "MEDIATOR_URL": "http://mediator:5000", "MONITOR_TOKEN": "a-long-random-token",
			})
			maps.Copy(env, more)
			for variable := range env {
				if !slices.Contains(known, variable) {
					t.Errorf("%s is no setting", variable)
				}
			}
			settings, err := new(config.Serve).Settings(func(variable string) string { return env[variable] })
			if err != nil {
				t.Fatal(err)
			}
			if settings.RedisURL.IsZero() || settings.PrivateAddr != ":8081" {
				t.Errorf("RedisURL = %v, PrivateAddr = %q, want the manifest's", settings.RedisURL, settings.PrivateAddr)
			}
		})
	}
}

// TestContextHoldsWhatGitTracks: what .dockerignore leaves out must be what git
// leaves out too, or the stamped revision says that the tree was changed.
func TestContextHoldsWhatGitTracks(t *testing.T) {
	ignored := func(file string) []string {
		var patterns []string
		for line := range strings.Lines(read(t, file)) {
			if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
				patterns = append(patterns, strings.Trim(strings.TrimPrefix(text, "**/"), "/"))
			}
		}
		slices.Sort(patterns)
		return patterns
	}
	if got, want := ignored(".dockerignore"), ignored(".gitignore"); !slices.Equal(got, want) {
		t.Errorf(".dockerignore = %q, want what .gitignore has: %q", got, want)
	}
}
