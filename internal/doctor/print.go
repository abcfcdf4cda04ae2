package doctor

import (
	"fmt"
	"io"
	"strings"
)

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
