package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Row is a setting.
type Row struct {
	Name    string // of the variable
	Flag    string // such as --mediator-url
	Default string // empty: none
	Literal bool   // Default is what one would write, not a description
	Help    string // its meaning, a sentence
	Holds   string // the secret setting whose value is in the file that this one names; empty: it has a value of its own

	tag   reflect.StructTag // of its field in Settings
	value reflect.Value     // of that field
}

// Table lists all settings in the order in which an operator meets them.
func Table() []Row { return rowsOf(reflect.ValueOf(new(Settings)).Elem()) }

// fileSuffix makes the name of a secret setting that of the file that holds its value.
const fileSuffix = "_FILE"

func flagOf(name string) string { return "--" + strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// secret reports whether the value must not be seen.
func (r Row) secret() bool {
	switch r.value.Interface().(type) {
	case Secret, []Secret:
		return true
	}
	return false
}

// rowsOf lists the settings in a struct and in the structs in it, each secret one
// followed by that of its file.
func rowsOf(parent reflect.Value) (rows []Row) {
	for field, value := range parent.Fields() {
		name, ok := field.Tag.Lookup("setting")
		switch {
		case ok:
			literal := field.Tag.Get("default")
			rows = append(rows, Row{
				Name: name, Flag: flagOf(name), Help: field.Tag.Get("help"),
				Default: cmp.Or(literal, field.Tag.Get("otherwise")), Literal: literal != "", tag: field.Tag, value: value,
			})
			if rows[len(rows)-1].secret() {
				rows = append(rows, Row{
					Name: name + fileSuffix, Flag: flagOf(name + fileSuffix), Holds: name, tag: `placeholder:"FILE"`,
					Help: "File that holds the value of " + name + ", read at the start.",
				})
			}
		case value.Kind() == reflect.Struct:
			rows = append(rows, rowsOf(value)...)
		}
	}
	return rows
}

// Serve has the settings as flags of a kong command. Make it with [NewServe]; the zero
// Serve has no flags and reads the environment alone.
type Serve struct{ kong.Plugins }

// NewServe returns a flag for each setting. The flags are texts: kong would stop at the
// first that it does not understand.
func NewServe() Serve {
	var flags []reflect.StructField
	for _, row := range Table() {
		kind := reflect.TypeFor[Secret]()
		if row.Holds == "" && row.value.Kind() == reflect.Bool && row.tag.Get("enum") == "" {
			kind = reflect.TypeFor[toggle]()
		}
		help := fmt.Sprintf("%s ($%s, default: %s)", row.Help, row.Name, cmp.Or(row.Default, "none"))
		tag := fmt.Sprintf("name:%q placeholder:%q help:%q", row.Flag[len("--"):], row.tag.Get("placeholder"), help)
		flags = append(flags, reflect.StructField{Name: row.Name, Type: kind, Tag: reflect.StructTag(tag)})
	}
	return Serve{kong.Plugins{reflect.New(reflect.StructOf(flags)).Interface()}}
}

// flags returns the texts of the flags by the names of their variables.
func (s *Serve) flags() map[string]string {
	given := map[string]string{}
	for _, plugin := range s.Plugins {
		for field, value := range reflect.ValueOf(plugin).Elem().Fields() {
			given[field.Name] = value.Interface().(interface{ Reveal() string }).Reveal()
		}
	}
	return given
}

// toggle is the flag of a setting that is on or off. It may stand alone, which means on.
type toggle string

// Decode takes what kong read.
func (t *toggle) Decode(ctx *kong.DecodeContext) error {
	*t = "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		*t = toggle(fmt.Sprint(ctx.Scan.Pop().Value))
	}
	return nil
}

// Reveal returns the text.
func (t toggle) Reveal() string { return string(t) }

// IsBool tells kong that the flag needs no value.
func (toggle) IsBool() bool { return true }
