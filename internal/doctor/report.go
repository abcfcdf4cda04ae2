package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Status is the outcome of a check.
type Status string

const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, but not as well or as safely as it could
	Failed  Status = "failed"  // it must be fixed
	Skipped Status = "skipped" // not checked; Found says why
)

// Result is the result of a check.
type Result struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"` // of a warning or a failure
}

// The results below have no name: it is added when they are reported.

func ok(format string, args ...any) Result {
	return Result{Status: OK, Found: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Result {
	return Result{Status: Skipped, Found: fmt.Sprintf(format, args...)}
}

func failed(found, remedy string) Result { return Result{Status: Failed, Found: found, Remedy: remedy} }

func warning(found, remedy string) Result {
	return Result{Status: Warning, Found: found, Remedy: remedy}
}

// Report has the results of all checks, in their order.
type Report struct {
	OK     bool     `json:"ok"` // nothing failed
	Checks []Result `json:"checks"`
}

// Count returns the number of checks with this status.
func (r Report) Count(status Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == status {
			n++
		}
	}
	return n
}

// Summary counts the results, such as "1 failed, 2 warnings, 14 ok".
func (r Report) Summary() string {
	var parts []string
	for _, status := range []Status{Failed, Warning, OK, Skipped} {
		switch n := r.Count(status); {
		case n > 1 && status == Warning:
			parts = append(parts, fmt.Sprintf("%d warnings", n))
		case n > 0:
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	return strings.Join(parts, ", ")
}

// sanitize shortens a text that was received and removes control characters.
func sanitize(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
	return fmt.Sprintf("%.120s", clean)
}

// formatExpiry formats a time, and how long it is from now.
func formatExpiry(at time.Time) string {
	text, left := at.UTC().Format("2006-01-02 15:04 UTC"), time.Until(at)
	switch {
	case left >= 48*time.Hour:
		text += fmt.Sprintf(", in %d days", int(left.Hours()/24))
	case left > 0:
		text += fmt.Sprintf(", in %d minutes", int(left.Minutes()))
	}
	return text
}

// round formats a duration with two or three digits.
func round(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// drift describes the error of this machine's clock; off is positive if it is slow.
func drift(off time.Duration) string {
	if off < 0 {
		return round(-off) + " fast"
	}
	return round(off) + " slow"
}

// Printer writes results as text.
type Printer struct {
	Out    io.Writer
	Colour bool
}

// colours are ANSI escape parameters.
var colours = map[Status]string{OK: "32", Warning: "33", Failed: "1;31", Skipped: "2"}

const remedyColour = "36"

// Result writes one result, and its remedy on a line of its own.
func (p Printer) Result(r Result) error {
	padding := strings.Repeat(" ", len(Skipped)-len(r.Status))
	text := fmt.Sprintf("  %s%s  %-*s  %s\n", p.paint(colours[r.Status], string(r.Status)), padding, longestName, r.Name, r.Found)
	if r.Remedy != "" {
		text += fmt.Sprintf("  %*s  %s%s\n", len(Skipped), "", p.paint(remedyColour, "→ "), r.Remedy)
	}
	_, err := io.WriteString(p.Out, text)
	return err
}

// Summary writes the number of results of each status.
func (p Printer) Summary(r Report) error {
	status := OK
	switch {
	case !r.OK:
		status = Failed
	case r.Count(Warning) > 0:
		status = Warning
	}
	_, err := fmt.Fprintf(p.Out, "\n%s\n", p.paint(colours[status], r.Summary()))
	return err
}

func (p Printer) paint(colour, text string) string {
	if !p.Colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
