package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Row describes a setting.
type Row struct {
	Name    string // of the variable
	Flag    string // such as --mediator-url
	Default string // empty: none
	Help    string // its meaning, a sentence

	// Literal says that Default is what one would write, not a description.
	Literal bool
}

// Markdown returns the row as the README has it: | `NAME` | default | meaning |.
func (r Row) Markdown() string {
	otherwise := r.Default
	if r.Literal {
		otherwise = "`" + otherwise + "`"
	}
	return strings.Join(strings.Fields(fmt.Sprintf("| `%s` | %s | %s |", r.Name, otherwise, r.Help)), " ")
}

// Table lists all settings in the order in which an operator meets them.
func Table() []Row {
	var rows []Row
	for field := range reflect.TypeFor[Serve]().Fields() {
		_, literal := field.Tag.Lookup("literal")
		rows = append(rows, Row{
			Name: field.Tag.Get("setting"), Flag: "--" + field.Tag.Get("name"),
			Default: field.Tag.Get("otherwise"), Help: field.Tag.Get("help"), Literal: literal,
		})
	}
	return rows
}

// FlagHelp is a kong.HelpValueFormatter that adds a setting's variable and
// default to its help.
func FlagHelp(value *kong.Value) string {
	name := value.Tag.Get("setting")
	if name == "" {
		return kong.DefaultHelpValueFormatter(value)
	}
	return fmt.Sprintf("%s ($%s, default: %s)", value.Help, name, cmp.Or(value.Tag.Get("otherwise"), "none"))
}
