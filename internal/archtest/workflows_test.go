package archtest_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// workflows returns the texts of the GitHub Actions workflows by file. scripts/check runs
// actionlint for what these tests do not check.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	files, err := fs.Glob(root, ".github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows = %q, %v", files, err)
	}
	all := map[string]string{}
	for _, file := range files {
		all[file] = read(t, file)
	}
	return all
}

var (
	used     = regexp.MustCompile(`\buses: (\S+)`)
	pinned   = regexp.MustCompile(`^(\./\S+|[\w.-]+/[\w./-]+@(v\d+(\.\d+\.\d+)?|[0-9a-f]{40}))$`)
	readOnly = regexp.MustCompile(`(?m)^permissions:\n  contents: read\n\n`)
)

// TestWorkflows checks that actions are pinned to a version or a commit, and that only
// single jobs may write.
func TestWorkflows(t *testing.T) {
	for file, text := range workflows(t) {
		for _, found := range used.FindAllStringSubmatch(text, -1) {
			if !pinned.MatchString(found[1]) {
				t.Errorf("%s uses %s, which is not pinned to a version or a commit", file, found[1])
			}
		}
		if !readOnly.MatchString(text) {
			t.Errorf("permissions of %s are not only contents: read", file)
		}
	}
}

// TestScriptsAreExecutable checks the scripts that are run by their path, such as by a
// workflow.
func TestScriptsAreExecutable(t *testing.T) {
	scripts := []string{".ci/run", "scripts/run", "deploy/heroku/deploy", "deploy/heroku/start"}
	for _, text := range workflows(t) {
		scripts = append(scripts, regexp.MustCompile(`\b(?:scripts|deploy)/[\w/.-]*\w`).FindAllString(text, -1)...)
	}
	for _, file := range scripts {
		info, err := fs.Stat(root, file)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm()&0o111 == 0 || !strings.HasPrefix(read(t, file), "#!") {
			t.Errorf("%s is not executable: mode %v, or no #! line", file, info.Mode())
		}
	}
}
