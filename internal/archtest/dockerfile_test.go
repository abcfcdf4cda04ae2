package archtest_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestGoVersion checks that the Dockerfile and the workflow build with the Go of go.mod.
func TestGoVersion(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	image := regexp.MustCompile(`(?m)^FROM (?:--\S+ )?(\S+)`).FindStringSubmatch(read(t, "Dockerfile"))
	if version == nil || image == nil {
		t.Fatalf("Go of go.mod = %q, image of the Dockerfile = %q, want both", version, image)
	}
	if !strings.HasPrefix(image[1], "golang:"+version[1]+"-") {
		t.Errorf("FROM %s, want go.mod's Go %s", image[1], version[1])
	}
	if text := read(t, ".github/workflows/check.yml"); !strings.Contains(text, "image: "+image[1]+"\n") {
		t.Errorf("check.yml does not run in the Dockerfile's image %s", image[1])
	}
}

// TestImageUserIsNumericNonRoot: runAsNonRoot in the Kubernetes manifests needs a number.
func TestImageUserIsNumericNonRoot(t *testing.T) {
	for _, file := range []string{"Dockerfile", "deploy/heroku/Dockerfile"} {
		if !regexp.MustCompile(`(?m)^USER [1-9][0-9]*(:[1-9][0-9]*)?$`).MatchString(read(t, file)) {
			t.Errorf("%s has no USER that is a number other than 0", file)
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
