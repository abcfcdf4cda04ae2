package faults_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is what the runs of a cell came to.
type row struct {
	name                    string
	seed                    uint64 // of the first run
	runs, made, kills, hits int
	told, overtaken, twice  int
	violations              int
	quiet                   time.Duration // the longest
}

// add adds a run.
func (r *row) add(one row) {
	r.runs += one.runs
	r.made += one.made
	r.kills += one.kills
	r.hits += one.hits
	r.told += one.told
	r.overtaken += one.overtaken
	r.twice += one.twice
	r.violations += one.violations
	r.quiet = max(r.quiet, one.quiet)
}

// table is the matrix, with a line of sums.
func table(rows []row) string {
	var b strings.Builder
	line := func(name string, seeds string, r row, quiet string) {
		fmt.Fprintf(&b, "%-45s %7s %5d %8d %6d %6d %6d %10d %6d %11d %s\n", name, seeds, r.runs, r.made, r.kills, r.hits,
			r.told, r.overtaken, r.twice, r.violations, quiet)
	}
	b.WriteString("cell                                            seeds  runs  changes  kills  aimed   told  overtaken  twice  violations  quiet after\n")
	sum := row{}
	for _, r := range rows {
		seeds := fmt.Sprint(r.seed)
		if r.runs > 1 {
			seeds = fmt.Sprintf("%d-%d", r.seed, r.seed+uint64(r.runs)-1)
		}
		line(r.name, seeds, r, fmt.Sprintf("%10.1f s", r.quiet.Seconds()))
		sum.add(r)
	}
	line(fmt.Sprintf("all %d cells", len(rows)), "", sum, "")
	return b.String()
}

var publishing sync.Mutex

// publish shows a table, and adds it to the file that FAULTS_TABLE names.
func publish(t testing.TB, table string) {
	t.Helper()
	t.Log("\n" + table)
	path := os.Getenv("FAULTS_TABLE")
	if path == "" {
		return
	}
	publishing.Lock()
	defer publishing.Unlock()
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
