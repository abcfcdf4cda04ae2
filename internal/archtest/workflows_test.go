package archtest_test

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// workflow holds the fields of a GitHub Actions workflow that these tests check.
// scripts/check runs actionlint for the rest.
type workflow struct {
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Uses      string `yaml:"uses"`
		Container struct {
			Image string `yaml:"image"`
		} `yaml:"container"`
		Steps []struct {
			Uses string            `yaml:"uses"`
			Run  string            `yaml:"run"`
			With map[string]string `yaml:"with"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := fs.Glob(root(t), ".github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows = %q, %v", files, err)
	}
	all := map[string]workflow{}
	for _, file := range files {
		var w workflow
		if err := yaml.Unmarshal([]byte(read(t, file)), &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[path.Base(file)] = w
	}
	return all
}

var (
	ownScript    = regexp.MustCompile(`\b(?:scripts|deploy)/[\w/.-]+`)
	pinnedAction = regexp.MustCompile(`^[\w.-]+/[\w./-]+@(v\d+(\.\d+\.\d+)?|[0-9a-f]{40})$`)
)

// TestWorkflowReferences checks that each script, file and workflow that a step names
// exists, and that actions are pinned.
func TestWorkflowReferences(t *testing.T) {
	for name, w := range workflows(t) {
		mode := func(file string) fs.FileMode {
			t.Helper()
			info, err := fs.Stat(root(t), file)
			if err != nil {
				t.Fatalf("%s refers to %s, which does not exist", name, file)
			}
			return info.Mode()
		}
		for _, job := range w.Jobs {
			if job.Uses != "" {
				mode(strings.TrimPrefix(job.Uses, "./"))
			}
			for _, step := range job.Steps {
				if step.Uses != "" && !pinnedAction.MatchString(step.Uses) {
					t.Errorf("%s uses %s, which is not pinned to a version or a commit", name, step.Uses)
				}
				for _, script := range ownScript.FindAllString(step.Run, -1) {
					if mode(script)&0o111 == 0 {
						t.Errorf("%s runs %s, which is not executable", name, script)
					}
				}
				if file := step.With["go-version-file"]; file != "" {
					mode(file)
				}
			}
		}
	}
}

// TestWorkflowPermissions: only single jobs may write.
func TestWorkflowPermissions(t *testing.T) {
	for name, w := range workflows(t) {
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("permissions of %s = %v, want contents: read", name, w.Permissions)
		}
	}
}

func TestWorkflowGoVersion(t *testing.T) {
	if image := workflows(t)["check.yml"].Jobs["check"].Container.Image; image != buildImage(t) {
		t.Errorf("image of check.yml = %s, want the Dockerfile's: %s", image, buildImage(t))
	}
}
