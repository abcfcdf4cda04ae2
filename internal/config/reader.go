package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings parses and checks all settings. A setting without a flag is read from getenv, and
// has its default if it is not set there. The error is [Mistakes].
func (s *Serve) Settings(getenv func(string) string) (Settings, error) {
	r := s.read(getenv)
	for _, in := range r.inputs {
		if in.text != "" && in.FileOf == "" {
			r.parse(in)
		}
	}
	r.checkGraph()
	r.checkServers()
	r.checkListen()
	r.checkPublic()
	r.checkResources()
	if len(r.mistakes) == 0 {
		return r.settings, nil
	}
	return r.settings, r.mistakes
}

// EffectiveSetting is the value of a setting, with secrets redacted.
type EffectiveSetting struct {
	Name  string
	Value string // empty: none
	From  string // "flag", "default", or the variable that it was read from
}

// Effective returns all settings in the order of [Table], whether they are valid or not.
func (s *Serve) Effective(getenv func(string) string) (all []EffectiveSetting) {
	for _, in := range s.read(getenv).inputs {
		switch {
		case in.from == "default":
			in.text = in.Default
		case in.secret:
			in.text = in.newSecret(in.text).String()
		}
		all = append(all, EffectiveSetting{in.Name, in.text, in.from})
	}
	return all
}

// Named returns a mistake that another package found in a setting, with the file if the value
// comes from one.
func (s *Serve) Named(getenv func(string) string, setting string, mistake error) error {
	if mistake == nil {
		return nil
	}
	return errors.New(strings.Replace(mistake.Error(), setting, s.read(getenv).input(setting).name, 1))
}

// reader parses the settings and collects mistakes. A value with a mistake is not used: its
// field keeps the zero value, except for the paths of files and for numbers.
type reader struct {
	settings Settings
	inputs   []*input          // in the order of Table
	flags    map[string]string // by variable
	getenv   func(string) string
	mistakes Mistakes
}

// input is the text of a setting before it is parsed.
type input struct {
	Row
	name  string // how a mistake names it: the variable, and the file if the text comes from one
	text  string
	from  string // "flag", "default", or the variable
	wrong bool   // has a mistake
}

// read finds the texts of all settings.
func (s *Serve) read(getenv func(string) string) *reader {
	r := &reader{flags: s.flags(), getenv: getenv}
	for _, row := range rowsOf(reflect.ValueOf(&r.settings).Elem()) {
		in := r.find(row)
		if row.secret {
			r.readFile(in)
		}
		switch in.from {
		case "PORT":
			in.text = ":" + in.text
		case "MEDIATOR_IP":
			in.text = "http://" + net.JoinHostPort(strings.Trim(in.text, "[]"), strings.TrimSpace(getenv("MEDIATOR_PORT")))
		}
		r.inputs = append(r.inputs, in)
	}
	return r
}

// find returns the text of a setting: that of a flag, a variable, its old name, or the default.
func (r *reader) find(row Row) *input {
	in := &input{Row: row, name: row.Name, text: row.trim(r.flags[row.Name]), from: "flag"}
	for _, variable := range []string{row.Name, row.tag.Get("was")} {
		if in.text == "" {
			in.name, in.text, in.from = variable, row.trim(r.getenv(variable)), variable
		}
	}
	if in.text == "" {
		in.name, in.text, in.from = row.Name, row.tag.Get("default"), "default"
	}
	return in
}

// readFile replaces the text of a secret setting by the content of its file, if one is named.
func (r *reader) readFile(in *input) {
	file := r.find(Row{Name: in.Name + fileSuffix})
	switch {
	case file.text == "":
		return
	case in.from != "default":
		r.mistake(file, "and %s are both set: unset one of them", in.name)
		return
	}
	text, err := ReadSecret(file.text)
	in.name, in.text, in.from = in.Name+" (in "+file.name+")", in.trim(text), file.name
	if in.wrong = err != nil; in.wrong {
		r.mistake(file, "names %s, %v", quote(file.text), err)
	}
}

// trim removes spaces around a value, unless they count.
func (row Row) trim(text string) string {
	if row.format == "verbatim" {
		return text
	}
	return strings.TrimSpace(text)
}

// newSecret returns text as the kind of secret that the setting is.
func (row Row) newSecret(text string) Secret {
	if row.tag.Get("placeholder") == "URL" {
		return NewURL(text)
	}
	return NewSecret(text)
}

// input returns the input of a setting.
func (r *reader) input(setting string) *input {
	return r.inputs[slices.IndexFunc(r.inputs, func(in *input) bool { return in.Name == setting })]
}

// given reports whether a setting is set, correctly or not.
func (r *reader) given(setting string) bool { return r.input(setting).text != "" }

// mistake records a mistake in a setting, once.
func (r *reader) mistake(in *input, format string, args ...any) {
	in.wrong = true
	if text := in.name + " " + fmt.Sprintf(format, args...); !slices.Contains(r.mistakes, text) {
		r.mistakes = append(r.mistakes, text)
	}
}

// parse sets the field of a setting from its text. In a list it drops duplicates, but not of
// files: their position pairs them with the files of another setting.
func (r *reader) parse(in *input) {
	if in.value.Kind() != reflect.Slice {
		r.set(in.value, in, in.text)
		return
	}
	seen := map[any]bool{}
	for _, text := range in.items() {
		item := reflect.New(in.value.Type().Elem()).Elem()
		r.set(item, in, text)
		switch value := item.Interface(); {
		case item.IsZero(): // a mistake
		case in.format == "file" || !seen[value]:
			in.value.Set(reflect.Append(in.value, item))
			seen[value] = true
		case in.format == "resource":
			r.mistake(in, "contains %s twice: Graph accepts it once", quote(text))
		}
	}
	if in.value.Len() == 0 && !in.wrong {
		r.mistake(in, "names no %s: unset it, or separate several with commas", in.format)
	}
}

// items splits a list: of secrets at spaces, of others at commas.
func (in *input) items() (items []string) {
	if in.secret {
		return strings.Fields(in.text)
	}
	for item := range strings.SplitSeq(in.text, ",") {
		item, last := strings.TrimSpace(item), len(items)-1
		switch {
		case item == "":
		case in.format == "resource" && last >= 0 && strings.Contains(items[last], "?") && !strings.HasPrefix(item, "/"):
			items[last] += "," + item // the comma is in the query, such as ?$select=subject,showAs
		default:
			items = append(items, item)
		}
	}
	return items
}

// set sets a field, or an item of a list, from its text.
func (r *reader) set(field reflect.Value, in *input, text string) {
	var err error
	if format := formats[in.format]; format != nil {
		text, err = format(in, text)
	}
	switch v := field.Addr().Interface().(type) {
	case *bool:
		*v = strings.HasSuffix(in.tag.Get("enum"), ","+text)
	case *int:
		*v, err = parseBounded(in, strconv.Atoi)
	case *time.Duration:
		*v, err = parseBounded(in, time.ParseDuration)
	case *Secret:
		*v = in.newSecret(text)
	case encoding.TextUnmarshaler: // of slog.Level and netip.Prefix
		err = cmp.Or(err, v.UnmarshalText([]byte(text)))
	default:
		field.SetString(text)
	}
	if err != nil {
		r.mistake(in, "%v", err)
	}
}

// parseBounded checks the value against the min and max of the setting, which may have no max.
func parseBounded[T cmp.Ordered](in *input, parse func(string) (T, error)) (T, error) {
	value, err := parse(in.text)
	least, _ := parse(in.tag.Get("min"))
	most, unlimited := parse(in.tag.Get("max"))
	switch {
	case err != nil:
		err = fmt.Errorf("is %s: use a value such as %s", quote(in.text), in.Default)
	case unlimited != nil && value < least:
		err = fmt.Errorf("is %v: use at least %s", value, in.tag.Get("min"))
	case unlimited == nil && (value < least || value > most):
		err = fmt.Errorf("is %v: use a value from %s to %s", value, in.tag.Get("min"), in.tag.Get("max"))
	}
	return value, err
}

// Mistakes are the mistakes in the settings. Each begins with the variable and says what to do.
type Mistakes []string

func (m Mistakes) Error() string { return strings.Join(m, "\n") }

// In returns the first of the variables, or of the files with their values, that has a mistake;
// empty: none.
func (m Mistakes) In(variables ...string) string {
	for _, variable := range variables {
		for _, mistake := range m {
			if name, _, _ := strings.Cut(mistake, " "); name == variable || name == variable+fileSuffix {
				return name
			}
		}
	}
	return ""
}
