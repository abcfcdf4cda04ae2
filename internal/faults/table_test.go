package faults_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// row is the result of one run of a cell.
type row struct {
	name                                string
	seed                                uint64
	changes, kills, hits                int
	acknowledged, overtaken, duplicates int
	violations                          int
	settledAfter                        time.Duration
}

// table is the matrix.
func table(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-58s  seed  changes  kills  hits  acked  overtaken  duplicates  violations  settled after\n", "cell")
	for _, r := range rows {
		fmt.Fprintf(&b, "%-58s %5d %8d %6d %5d %6d %10d %11d %11d %12.1f s\n", r.name, r.seed, r.changes, r.kills, r.hits,
			r.acknowledged, r.overtaken, r.duplicates, r.violations, r.settledAfter.Seconds())
	}
	return b.String()
}

// publish logs a table and appends it to the file that FAULTS_TABLE names.
func publish(t testing.TB, table string) {
	t.Helper()
	t.Log("\n" + table)
	path := os.Getenv("FAULTS_TABLE")
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	if _, err := file.WriteString(table + "\n"); err != nil {
		t.Error(err)
	}
}
