package archtest_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

func TestImageGoVersion(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	if len(version) != 2 {
		t.Fatal("go.mod names no Go version")
	}
	if from := buildImage(t); !strings.HasPrefix(from, "golang:"+version[1]+"-") {
		t.Errorf("FROM %s, want go.mod's Go %s", from, version[1])
	}
}

// buildImage returns the image that the Dockerfile builds in.
func buildImage(t *testing.T) string {
	t.Helper()
	from := regexp.MustCompile(`(?m)^FROM (?:--\S+ )?(\S+)`).FindStringSubmatch(read(t, "Dockerfile"))
	if from == nil {
		t.Fatal("the Dockerfile has no FROM")
	}
	return from[1]
}

// TestImageUserIsNumericNonRoot: runAsNonRoot in the Kubernetes manifests needs a number.
func TestImageUserIsNumericNonRoot(t *testing.T) {
	for _, file := range []string{"Dockerfile", "deploy/heroku/Dockerfile"} {
		if !regexp.MustCompile(`(?m)^USER [1-9][0-9]*(:[1-9][0-9]*)?$`).MatchString(read(t, file)) {
			t.Errorf("%s has no USER that is a number other than 0", file)
		}
	}
}

func TestScriptsAreExecutable(t *testing.T) {
	for _, file := range []string{".ci/run", "scripts/check", "scripts/package", "scripts/run", "deploy/heroku/deploy", "deploy/heroku/start"} {
		info, err := fs.Stat(root(t), file)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm()&0o111 == 0 || !strings.HasPrefix(read(t, file), "#!") {
			t.Errorf("%s is not executable: mode %v, or no #! line", file, info.Mode())
		}
	}
}

// TestImageTagsHaveReason: an image that is named by a tag can change, so a comment above it
// says why it has no digest.
func TestImageTagsHaveReason(t *testing.T) {
	image := regexp.MustCompile(`^\s*(?:image:|FROM(?: --platform=\S+)?) ([a-z]\S*)`)
	ours := regexp.MustCompile(`^(scratch|(registry\.example\.com/)?outlook-monitor(:\S+)?)$`)
	found := 0
	for _, file := range []string{"Dockerfile", "deploy/heroku/Dockerfile", compose, service, storage, "deploy/helm/outlook-monitor/values.yaml"} {
		comment := ""
		for line := range strings.Lines(read(t, file)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				comment += line
				continue
			}
			if name := image.FindStringSubmatch(line); name != nil && !ours.MatchString(name[1]) {
				found++
				if !strings.Contains(name[1], "@sha256:") && !strings.Contains(comment, "digest") {
					t.Errorf("%s: %s has no digest, and no comment says why", file, name[1])
				}
			}
			comment = ""
		}
	}
	if found != 5 {
		t.Errorf("%d images of others, want 5", found)
	}
}
