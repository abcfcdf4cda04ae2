package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table aligns columns for people.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer) table { return table{tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)} }

// row writes cells; Flush returns their errors.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = cmp.Or(clean(cell), "-")
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}

// known writes a line unless there is nothing to show.
func (t table) known(name, value string) {
	if value != "" {
		t.row(name, value)
	}
}

func instant(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// clean takes out what could drive a terminal: names and texts are other
// people's.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
}

func say(out io.Writer, format, email string) error {
	_, err := fmt.Fprintf(out, format+"\n", clean(email))
	return err
}
