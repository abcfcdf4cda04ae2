package faults_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// row is the result of the runs of a cell.
type row struct {
	name                                string
	seed                                uint64 // of the first run
	runs, changes, kills, hits          int
	acknowledged, overtaken, duplicates int
	violations                          int
	settledAfter                        time.Duration // the longest
}

// add adds a run.
func (r *row) add(one row) {
	r.runs += one.runs
	r.changes += one.changes
	r.kills += one.kills
	r.hits += one.hits
	r.acknowledged += one.acknowledged
	r.overtaken += one.overtaken
	r.duplicates += one.duplicates
	r.violations += one.violations
	r.settledAfter = max(r.settledAfter, one.settledAfter)
}

// table is the matrix, with a line of sums.
func table(rows []row) string {
	var b strings.Builder
	line := func(name string, seeds string, r row, settled string) {
		fmt.Fprintf(&b, "%-58s %7s %5d %8d %6d %5d %6d %10d %11d %11d %s\n", name, seeds, r.runs, r.changes, r.kills, r.hits,
			r.acknowledged, r.overtaken, r.duplicates, r.violations, settled)
	}
	fmt.Fprintf(&b, "%-58s   seeds  runs  changes  kills  hits  acked  overtaken  duplicates  violations  settled after\n", "cell")
	sum := row{}
	for _, r := range rows {
		seeds := fmt.Sprint(r.seed)
		if r.runs > 1 {
			seeds = fmt.Sprintf("%d-%d", r.seed, r.seed+uint64(r.runs)-1)
		}
		line(r.name, seeds, r, fmt.Sprintf("%12.1f s", r.settledAfter.Seconds()))
		sum.add(r)
	}
	line(fmt.Sprintf("all %d cells", len(rows)), "", sum, "")
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
