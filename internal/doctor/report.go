package doctor

import (
	"fmt"
	"strings"
)

// Status is how a check ended.
type Status string

const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, but not as well or as safely as it could
	Failed  Status = "failed"  // the service can't do its work like this
	Skipped Status = "skipped" // not checked; Found says why
)

// Result is what a check found.
type Result struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"` // what to do about it
}

// Report is all that was found, in the order of the checks.
type Report struct {
	OK     bool     `json:"ok"` // nothing failed
	Checks []Result `json:"checks"`
}

// Count says how many checks ended so.
func (r Report) Count(status Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == status {
			n++
		}
	}
	return n
}

// Summary is the whole in one sentence.
func (r Report) Summary() string {
	var parts []string
	add := func(n int, one, more string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, more))
		}
	}
	add(r.Count(Failed), "failed", "failed")
	add(r.Count(Warning), "warning", "warnings")
	add(r.Count(OK), "ok", "ok")
	add(r.Count(Skipped), "skipped", "skipped")
	return strings.Join(parts, ", ")
}

// verdict is a result without the name of its check.
type verdict struct {
	status        Status
	found, remedy string
}

func well(format string, args ...any) verdict {
	return verdict{status: OK, found: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) verdict {
	return verdict{status: Skipped, found: fmt.Sprintf(format, args...)}
}

func failed(found, remedy string) verdict { return verdict{Failed, found, remedy} }

func warning(found, remedy string) verdict { return verdict{Warning, found, remedy} }
