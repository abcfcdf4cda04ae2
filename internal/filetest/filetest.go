// Package filetest reads, compares and writes files in tests, which fail if that fails.
package filetest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// WantRows checks that the table with this header in a Markdown file has exactly these rows.
func WantRows(t testing.TB, path, header string, want []string) {
	t.Helper()
	_, rest, _ := strings.Cut(Read(t, path), header+"\n|"+strings.Repeat(" --- |", strings.Count(header, "|")-1)+"\n")
	table, _, _ := strings.Cut(rest, "\n\n")
	got := strings.Split(table, "\n")
	if slices.Equal(got, want) {
		return
	}
	lacks := slices.DeleteFunc(slices.Clone(want), func(row string) bool { return slices.Contains(got, row) })
	extra := slices.DeleteFunc(got, func(row string) bool { return slices.Contains(want, row) })
	t.Errorf("%s must have these rows\n%s\ninstead of\n%s", path, strings.Join(lacks, "\n"), strings.Join(extra, "\n"))
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
