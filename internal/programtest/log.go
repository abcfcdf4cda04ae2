package programtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"outlook-monitor/internal/must"
)

// Log is a file with the output of a program, over all its processes.
type Log struct {
	Path string
	t    testing.TB
}

const shownLines = 60 // of the end of a log

// NewLog returns an empty log, whose end is shown if the test fails.
func NewLog(t testing.TB, program string) Log {
	t.Helper()
	l := Log{filepath.Join(t.TempDir(), "log"), t}
	t.Cleanup(func() {
		if t.Failed() {
			lines := strings.Split(l.String(), "\n")
			t.Logf("end of the log of %s:\n%s", program, strings.Join(lines[max(0, len(lines)-shownLines):], "\n"))
		}
	})
	return l
}

// Start starts cmd, see [Start], and appends its output to the log.
func (l Log) Start(cmd *exec.Cmd) *Process {
	l.t.Helper()
	file, err := os.OpenFile(l.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must.NoError(l.t, err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	return Start(l.t, cmd)
}

// String returns everything that was written so far.
func (l Log) String() string {
	text, err := os.ReadFile(l.Path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
