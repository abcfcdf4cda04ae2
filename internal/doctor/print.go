package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Printer writes results for people.
type Printer struct {
	Out    io.Writer
	Colour bool
	Width  int // of a line; 0: 100
}

var colours = map[Status]string{OK: "32", Warning: "33", Failed: "1;31", Skipped: "2"}

const (
	statusWidth = len(Skipped)
	indent      = 2 + statusWidth + 2 + widest + 2
	leastText   = 30
	usualWidth  = 100
)

// Result writes one result, and its remedy on the lines below.
func (p Printer) Result(r Result) error {
	var text strings.Builder
	fmt.Fprintf(&text, "  %s%s  %-*s  ", p.paint(colours[r.Status], string(r.Status)),
		strings.Repeat(" ", statusWidth-len(r.Status)), widest, r.Name)
	p.wrap(&text, r.Found, "")
	if r.Remedy != "" {
		text.WriteString(strings.Repeat(" ", indent))
		p.wrap(&text, r.Remedy, p.paint("36", "→ "))
	}
	_, err := io.WriteString(p.Out, text.String())
	return err
}

// Summary writes the last line.
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
	if !p.Colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// wrap writes text in lines that begin below each other; mark stands before the
// first, and takes two columns if it is there.
func (p Printer) wrap(out *strings.Builder, text, mark string) {
	width, before := p.Width, indent
	if width == 0 {
		width = usualWidth
	}
	if mark != "" {
		before += 2
	}
	room := max(width-before, leastText)
	used := 0
	out.WriteString(mark)
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
		case used+1+n > room:
			out.WriteString("\n" + strings.Repeat(" ", before))
			used = 0
		default:
			out.WriteString(" ")
			used++
		}
		out.WriteString(word)
		used += n
	}
	out.WriteString("\n")
}
