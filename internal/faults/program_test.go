package faults_test

import (
	"encoding/json"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"outlook-monitor/internal/programtest"
)

// program builds an executable at the first call and returns its path.
type program func() (path string, err error)

// buildDir is the directory for executables.
var buildDir string

func TestMain(m *testing.M) {
	logging.Disable() // of failed connections while a server starts or is down
	var err error
	if buildDir, err = os.MkdirTemp("", "outlook-monitor-faults"); err != nil {
		panic(err)
	}
	m.Run()
	_ = os.RemoveAll(buildDir)
}

var unmodified = buildWith("plain")

// buildWith builds the program with some edits.
func buildWith(name string, edits ...edit) program {
	return sync.OnceValues(func() (string, error) {
		dir := filepath.Join(buildDir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		args, err := overlay(dir, edits)
		if err != nil {
			return "", err
		}
		return programtest.Build(dir, "outlook-monitor", args...)
	})
}

// edit replaces each occurrence of a text in a file. The path is absolute or relative to
// the module.
type edit struct{ file, old, new string }

// applyEdits returns the edited files by absolute path.
func applyEdits(edits []edit) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range edits {
		path := e.file
		if !filepath.IsAbs(path) {
			var err error
			if path, err = filepath.Abs(filepath.Join("../..", path)); err != nil {
				return nil, err
			}
		}
		if _, read := files[path]; !read {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			files[path] = string(text)
		}
		if !strings.Contains(files[path], e.old) {
			return nil, fmt.Errorf("%s no longer contains the text %q", e.file, e.old)
		}
		files[path] = strings.ReplaceAll(files[path], e.old, e.new)
	}
	return files, nil
}

// overlay writes the edited files next to the executable and returns the flags with which
// go build uses them.
func overlay(dir string, edits []edit) ([]string, error) {
	files, err := applyEdits(edits)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	replace := map[string]string{}
	for path, text := range files {
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d_%s", len(replace), filepath.Base(path)))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	list := filepath.Join(dir, "overlay.json")
	return []string{"-overlay", list}, os.WriteFile(list, body, 0o600)
}

// skewed is the program with a package time whose clock is off by CLOCK_SKEW seconds once
// the process has run for CLOCK_SKEW_AFTER seconds. Everything is recompiled, which takes
// minutes the first time.
var skewed = buildWith("skewed",
	edit{timeSource, "import (\n", "import (\n\t\"syscall\"\n"},
	edit{timeSource, "\tsec, nsec, mono := runtimeNow()\n",
		"\tsec, nsec, mono := runtimeNow()\n\tif mono-startNano >= skewAfter*int64(Second) {\n\t\tsec += skew\n\t}\n"},
	edit{timeSource, "// Now returns the current local time.\n", skewSource + "\n// Now returns the current local time.\n"},
)

var timeSource = filepath.Join(build.Default.GOROOT, "src/time/time.go")

// skewSource is added to package time.
const skewSource = `
var skew, skewAfter = skewSetting("CLOCK_SKEW"), skewSetting("CLOCK_SKEW_AFTER")

func skewSetting(name string) (seconds int64) {
	text, _ := syscall.Getenv(name)
	for _, digit := range []byte(text) {
		if '0' <= digit && digit <= '9' {
			seconds = 10*seconds + int64(digit-'0')
		}
	}
	if len(text) > 0 && text[0] == '-' {
		return -seconds
	}
	return seconds
}
`
