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
	Name    string // the variable, such as MEDIATOR_URL
	Flag    string // such as --mediator-url
	Default string // empty: none
	Literal bool   // Default is a value, not a description
	Help    string // a sentence
	FileOf  string // for a NAME_FILE setting: NAME, the secret setting whose value is in the file

	tag    reflect.StructTag // of the field in Settings
	format string            // of formats; empty: none
	value  reflect.Value     // of that field; not set if FileOf is
	secret bool              // value is confidential
}

// Table returns all settings in the order in which an operator encounters them.
func Table() []Row { return rowsOf(reflect.ValueOf(new(Settings)).Elem()) }

// fileSuffix is appended to the name of a secret setting for the setting that names its file.
const fileSuffix = "_FILE"

func flagOf(name string) string { return "--" + strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// rowsOf returns the settings in a struct and its nested structs, each secret one followed
// by the one that names its file.
func rowsOf(parent reflect.Value) (rows []Row) {
	for field, value := range parent.Fields() {
		name, ok := field.Tag.Lookup("setting")
		switch {
		case ok:
			row := Row{Name: name, Flag: flagOf(name), Help: field.Tag.Get("help"), tag: field.Tag, value: value}
			row.Default, row.Literal = field.Tag.Lookup("default")
			row.Default = cmp.Or(row.Default, field.Tag.Get("otherwise"))
			if row.format = field.Tag.Get("format"); field.Tag.Get("enum") != "" {
				row.format = "choice"
			}
			row.secret = field.Type == reflect.TypeFor[Secret]() || field.Type == reflect.TypeFor[[]Secret]()
			rows = append(rows, row)
			if row.secret {
				rows = append(rows, Row{
					Name: name + fileSuffix, Flag: flagOf(name + fileSuffix), FileOf: name, tag: `placeholder:"FILE"`,
					Help: "File that holds the value of " + name + ", read at the start.",
				})
			}
		case value.Kind() == reflect.Struct:
			rows = append(rows, rowsOf(value)...)
		}
	}
	return rows
}

// Serve has the settings as flags of a kong command. [NewServe] makes it; the zero Serve has
// no flags and reads only the environment.
type Serve struct{ kong.Plugins }

// NewServe returns a Serve with a flag for each setting. The flags are strings: kong would
// stop at the first value that it can't parse.
func NewServe() Serve {
	var flags []reflect.StructField
	for _, row := range Table() {
		flag := reflect.TypeFor[Secret]()
		if row.tag.Get("enum") == onOff {
			flag = reflect.TypeFor[boolFlag]()
		}
		help := fmt.Sprintf("%s ($%s, default: %s)", row.Help, row.Name, cmp.Or(row.Default, "none"))
		tag := fmt.Sprintf("name:%q placeholder:%q help:%q", row.Flag[len("--"):], row.tag.Get("placeholder"), help)
		flags = append(flags, reflect.StructField{Name: row.Name, Type: flag, Tag: reflect.StructTag(tag)})
	}
	return Serve{kong.Plugins{reflect.New(reflect.StructOf(flags)).Interface()}}
}

// flags returns the flags that were given, by variable.
func (s *Serve) flags() map[string]string {
	given := map[string]string{}
	for _, plugin := range s.Plugins {
		for field, value := range reflect.ValueOf(plugin).Elem().Fields() {
			given[field.Name] = value.Interface().(interface{ Reveal() string }).Reveal()
		}
	}
	return given
}

// boolFlag is the flag of a setting that is on or off. Without a value it is true.
type boolFlag struct{ Secret }

// Decode implements [kong.MapperValue].
func (b *boolFlag) Decode(ctx *kong.DecodeContext) error {
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		return b.Secret.Decode(ctx)
	}
	b.Secret = NewSecret("true")
	return nil
}

// IsBool tells kong that the flag needs no value.
func (boolFlag) IsBool() bool { return true }
