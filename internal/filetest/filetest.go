// Package filetest reads and writes files in tests, which fail if that fails.
package filetest

import (
	"os"
	"path/filepath"
	"testing"

	"outlook-monitor/internal/must"
)

// Read returns the text of a file, whose path may be in parts.
func Read(t testing.TB, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	must.NoError(t, err)
	return string(text)
}

// Write writes a file that only its owner can read.
func Write(t testing.TB, path, text string) {
	t.Helper()
	must.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// Temp writes a file of this name in a new directory, and returns its path.
func Temp(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	Write(t, path, text)
	return path
}
