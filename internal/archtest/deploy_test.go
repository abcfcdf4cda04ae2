package archtest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
)

const (
	compose = "deploy/compose.yaml"
	service = "deploy/kubernetes/outlook-monitor.yaml"
	storage = "deploy/kubernetes/redis.yaml"
)

func read(t *testing.T, file string) string {
	t.Helper()
	return filetest.Read(t, "../..", file)
}

// manifest returns the document of the given kind. A file without kinds is one document.
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

// at returns the value at a path of a document.
func at[T any](t *testing.T, document, path string) (value T) {
	t.Helper()
	p, err := yaml.PathString(path)
	must.NoError(t, err)
	if err := p.Read(strings.NewReader(document), &value); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return value
}

// TestRedisPersistsAndDoesNotEvict checks the options that the manifests start Redis with.
func TestRedisPersistsAndDoesNotEvict(t *testing.T) {
	commands := map[string][]string{
		"compose":    at[[]string](t, manifest(t, compose, ""), "$.services.redis.command"),
		"Kubernetes": at[[]string](t, manifest(t, storage, "StatefulSet"), "$.spec.template.spec.containers[0].command"),
	}
	want := map[string]string{"--appendonly": "yes", "--maxmemory-policy": "noeviction", "--requirepass": "$"}
	for name, command := range commands {
		for option, value := range want {
			if i := slices.Index(command, option); i < 0 || i+1 == len(command) || !strings.HasPrefix(command[i+1], value) {
				t.Errorf("command of Redis in %s = %q, want %s %s", name, command, option, value)
			}
		}
	}
}

// TestMemoryLimit compares GOMEMLIMIT with the container's limit.
func TestMemoryLimit(t *testing.T) {
	deployment := manifest(t, service, "Deployment")
	azure := bicepParams(t)
	kubernetes := environment(t, deployment)
	for name, limit := range map[string][2]string{
		"compose": {
			at[string](t, manifest(t, compose, ""), "$.services.outlook-monitor.environment.GOMEMLIMIT"),
			at[string](t, manifest(t, compose, ""), "$.services.outlook-monitor.mem_limit"),
		},
		"Kubernetes": {
			kubernetes["GOMEMLIMIT"],
			at[string](t, deployment, "$.spec.template.spec.containers[0].resources.limits.memory"),
		},
		"Bicep": {strings.Trim(azure["memoryLimit"], "'"), strings.NewReplacer("'0.5Gi'", "512Mi").Replace(azure["memory"])},
	} {
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
		t.Fatalf("%q is not in MiB: %v", text, err)
	}
	return n
}

// environment returns the env of a document's first container, "" for a variable that comes
// from elsewhere.
func environment(t *testing.T, document string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range at[[]struct{ Name, Value string }](t, document, "$.spec.template.spec.containers[0].env") {
		all[e.Name] = e.Value
	}
	return all
}

// envExample returns the settings in deploy/env.example.
func envExample(t *testing.T) map[string]string {
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

// TestEnvExampleIsValid fills in the empty settings of env.example, adds those of the
// manifests and reads the result as the service does.
func TestEnvExampleIsValid(t *testing.T) {
	for name, more := range map[string]map[string]string{
		"compose":    at[map[string]string](t, manifest(t, compose, ""), "$.services.outlook-monitor.environment"),
		"Kubernetes": environment(t, manifest(t, service, "Deployment")),
	} {
		t.Run(name, func(t *testing.T) {
			env := envExample(t)
			maps.Copy(env, map[string]string{
				"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "secret",
				"PUBLIC_URL": "https://monitor.example.com", "MEDIATOR_URL": "http://mediator:5000", "MONITOR_TOKEN": "a-long-random-token",
			})
			maps.Copy(env, more)
			env["REDIS_URL"] = strings.NewReplacer( // as compose and Kubernetes do
				"${REDIS_PASSWORD:?write it into deploy/.env}", "letters", "$(REDIS_PASSWORD)", "letters").Replace(env["REDIS_URL"])
			settings := readSettings(t, env, "REDIS_PASSWORD")
			if settings.RedisURL.IsZero() || settings.PrivateAddr != ":8081" {
				t.Errorf("RedisURL = %v, PrivateAddr = %q, want the manifest's", settings.RedisURL, settings.PrivateAddr)
			}
		})
	}
}

// readSettings reads an environment as the service does, and checks that it holds only
// settings and others.
func readSettings(t *testing.T, env map[string]string, others ...string) config.Settings {
	t.Helper()
	known := append(others, "GOMEMLIMIT")
	for _, row := range config.Table() {
		known = append(known, row.Name)
	}
	for name := range env {
		if !slices.Contains(known, name) {
			t.Errorf("%s is not a setting", name)
		}
	}
	settings, err := new(config.Serve).Settings(func(name string) string { return env[name] })
	must.NoError(t, err)
	return settings
}

func TestGuideCreatesTheSecret(t *testing.T) {
	secret := at[string](t, manifest(t, service, "Deployment"), "$.spec.template.spec.containers[0].envFrom[0].secretRef.name")
	if want := "kubectl create secret generic " + secret + " --from-env-file"; !strings.Contains(read(t, "deploy/INSTALL.md"), want) {
		t.Errorf("INSTALL.md lacks %q", want)
	}
}

// TestDockerignoreEqualsGitignore: if the build context lacked a tracked file, Go would
// stamp the revision as modified.
func TestDockerignoreEqualsGitignore(t *testing.T) {
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
		t.Errorf(".dockerignore = %q, want the patterns of .gitignore: %q", got, want)
	}
}
