package archtest_test

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
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

// TestRedisKeepsWhatItIsGiven looks at what the manifests start Redis with.
func TestRedisKeepsWhatItIsGiven(t *testing.T) {
	commands := map[string][]string{
		"compose":    at[[]string](t, manifest(t, compose, ""), "$.services.redis.command"),
		"Kubernetes": at[[]string](t, manifest(t, storage, "StatefulSet"), "$.spec.template.spec.containers[0].command"),
	}
	want := map[string]string{
		"--appendonly": "yes", "--appendfsync": "everysec", "--save": "", "--maxmemory": "200mb", "--maxmemory-policy": "noeviction",
	}
	password := map[string]string{"compose": "${REDIS_PASSWORD}", "Kubernetes": "$(REDISCLI_AUTH)"}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			if len(command) == 0 || command[0] != "redis-server" {
				t.Fatalf("command = %q, want redis-server", command)
			}
			got := map[string]string{}
			for pair := range slices.Chunk(command[1:], 2) {
				got[pair[0]] = pair[len(pair)-1]
			}
			want := maps.Clone(want)
			want["--requirepass"] = password[name]
			if !maps.Equal(got, want) {
				t.Errorf("options = %v, want %v", got, want)
			}
		})
	}
}

// TestRedisHasOnePassword compares what Redis wants with what the service logs in with.
func TestRedisHasOnePassword(t *testing.T) {
	const secret = "map[secretKeyRef:map[key:REDIS_PASSWORD name:outlook-monitor]]"
	server := environment(t, manifest(t, storage, "StatefulSet"))
	replica := environment(t, manifest(t, service, "Deployment"))
	composed := manifest(t, compose, "")
	tests := map[string]struct{ got, want string }{
		"Redis in Kubernetes":       {server["REDISCLI_AUTH"], secret},
		"the service in Kubernetes": {replica["REDIS_PASSWORD"], secret},
		"its URL in Kubernetes":     {replica["REDIS_URL"], "redis://:$(REDIS_PASSWORD)@outlook-monitor-redis:6379/0"},
		"compose's health check":    {at[string](t, composed, "$.services.redis.environment.REDISCLI_AUTH"), "${REDIS_PASSWORD}"},
		"the service in compose": {at[string](t, composed, "$.services.outlook-monitor.environment.REDIS_URL"),
			"redis://:${REDIS_PASSWORD:?write it into deploy/.env}@redis:6379/0"},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s = %s, want %s", name, tt.got, tt.want)
		}
	}
}

var (
	image    = regexp.MustCompile(`^\s*(?:image:|FROM(?: --platform=\S+)?) ([a-z]\S*)`)
	ourImage = regexp.MustCompile(`^(scratch|(registry\.example\.com/)?outlook-monitor(:\S+)?)$`)
)

// TestImagesOfOthersSayWhyATag: an image that isn't ours has a digest, or a comment above
// it that says why not.
func TestImagesOfOthersSayWhyATag(t *testing.T) {
	seen := 0
	for _, file := range []string{"Dockerfile", "deploy/heroku/Dockerfile", compose, service, storage, "deploy/helm/outlook-monitor/values.yaml"} {
		comment := ""
		for line := range strings.Lines(read(t, file)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				comment += line
				continue
			}
			if found := image.FindStringSubmatch(line); found != nil && !ourImage.MatchString(found[1]) {
				seen++
				if !strings.Contains(found[1], "@sha256:") && (!strings.Contains(comment, "tag, ") || !strings.Contains(comment, "digest")) {
					t.Errorf("%s: %s has no digest, and no comment says why", file, found[1])
				}
			}
			comment = ""
		}
	}
	if seen != 5 {
		t.Errorf("images of others = %d, want 5", seen)
	}
}

// TestMemoryLimitLeavesRoom compares GOMEMLIMIT with the container's limit.
func TestMemoryLimitLeavesRoom(t *testing.T) {
	deployment := manifest(t, service, "Deployment")
	kubernetes := environment(t, deployment)
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

// environment is the env of a document's first container. What comes from elsewhere is
// written as Go writes it.
func environment(t *testing.T, document string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range at[[]struct {
		Name, Value string
		ValueFrom   map[string]any `yaml:"valueFrom"`
	}](t, document, "$.spec.template.spec.containers[0].env") {
		all[e.Name] = e.Value
		if e.ValueFrom != nil {
			all[e.Name] = fmt.Sprint(e.ValueFrom)
		}
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
		"Kubernetes": environment(t, manifest(t, service, "Deployment")),
	}
	var known []string
	for _, row := range config.Table() {
		known = append(known, row.Name)
	}
	known = append(known, "GOMEMLIMIT", "REDIS_PASSWORD")
	for name, more := range added {
		t.Run(name, func(t *testing.T) {
			env := example(t)
			maps.Copy(env, map[string]string{
				"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "secret",
				"PUBLIC_URL": "https://monitor.example.com", "MEDIATOR_URL": "http://mediator:5000", "MONITOR_TOKEN": "a-long-random-token",
			})
			maps.Copy(env, more)
			env["REDIS_URL"] = strings.NewReplacer( // as compose and Kubernetes do
				"${REDIS_PASSWORD:?write it into deploy/.env}", "letters", "$(REDIS_PASSWORD)", "letters").Replace(env["REDIS_URL"])
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

func TestTheGuideCreatesTheSecretOfTheManifest(t *testing.T) {
	secret := at[string](t, manifest(t, service, "Deployment"), "$.spec.template.spec.containers[0].envFrom[0].secretRef.name")
	if want := "kubectl create secret generic " + secret + " --from-env-file"; !strings.Contains(read(t, "deploy/INSTALL.md"), want) {
		t.Errorf("INSTALL.md lacks %q", want)
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
