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

// table prints aligned columns.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer) table { return table{tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)} }

// row writes one row. Flush returns the error of a write.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = cmp.Or(printable(cell), "-")
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}

// field writes a row unless value is empty.
func (t table) field(name, value string) {
	if value != "" {
		t.row(name, value)
	}
}

func formatTime(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// printable removes control characters: names and messages come from others, and must not
// control the terminal.
func printable(text string) string {
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

// printUser prints format with a user's address.
func printUser(out io.Writer, format, email string) error {
	_, err := fmt.Fprintf(out, format+"\n", printable(email))
	return err
}

// plural returns a count with its noun: 1 user, 2 users.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
