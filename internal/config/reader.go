package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Settings parses and checks all settings. A setting without a flag is read from getenv, and
// has its default if it is not set there. The error is [Mistakes].
func (s *Serve) Settings(getenv func(string) string) (Settings, error) {
	r := &reader{flags: s.flags(), getenv: getenv}
	for _, row := range rowsOf(reflect.ValueOf(&r.settings).Elem()) {
		if row.FileOf == "" {
			r.parse(r.resolve(row))
		}
	}
	r.checkGraph()
	r.checkMediator()
	r.checkRedis()
	r.checkListen()
	r.checkPublic()
	r.checkTunnel()
	r.checkResources()
	r.checkEncryption()
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
	r := &reader{flags: s.flags(), getenv: getenv}
	for _, row := range Table() {
		in := r.resolve(row)
		switch {
		case in.from == "default":
			in.text = cmp.Or(in.text, row.Default)
		case row.secret:
			in.text = in.secret(in.text).String()
		}
		all = append(all, EffectiveSetting{row.Name, in.text, in.from})
	}
	return all
}

// reader parses the settings and collects mistakes.
type reader struct {
	settings Settings
	flags    map[string]string // by variable
	getenv   func(string) string
	mistakes Mistakes
}

// input is the text of a setting before it is parsed.
type input struct {
	Row
	name string // how a mistake names it: the variable, and the file if the text comes from one
	text string
	from string // "flag", "default", or the variable
}

// resolve finds the text of a setting: a flag, a variable, its old name, a default, or the
// content of its file.
func (r *reader) resolve(row Row) input {
	in := r.resolveDirect(row)
	if !row.secret {
		return in
	}
	file := r.resolveDirect(Row{Name: row.Name + fileSuffix})
	switch {
	case file.text == "":
		return in
	case in.from != "default":
		r.mistake(file.name, "and %s are both set: unset one of them", in.name)
		return in
	}
	text, err := ReadSecret(file.text)
	if err != nil {
		r.mistake(file.name, "names %s, %v", quote(file.text), err)
	}
	if row.tag.Get("format") != "verbatim" {
		text = strings.TrimSpace(text)
	}
	return input{row, row.Name + " (in " + file.name + ")", text, file.name}
}

// resolveDirect is resolve without files.
func (r *reader) resolveDirect(row Row) input {
	if text := strings.TrimSpace(r.flags[row.Name]); text != "" {
		return input{row, row.Name, text, "flag"}
	}
	for _, variable := range []string{row.Name, row.tag.Get("was")} {
		if text := r.env(variable); text != "" {
			return input{row, variable, text, variable}
		}
	}
	return input{row, row.Name, row.tag.Get("default"), "default"}
}

// secret returns text as the kind of secret that the setting is.
func (in input) secret(text string) Secret {
	if in.tag.Get("placeholder") == "URL" {
		return NewURL(text)
	}
	return NewSecret(text)
}

// env returns the value of a variable. It completes PORT to an address and MEDIATOR_IP to a
// URL.
func (r *reader) env(variable string) string {
	text := strings.TrimSpace(r.getenv(variable))
	switch port := strings.TrimSpace(r.getenv("MEDIATOR_PORT")); {
	case text == "":
	case variable == "PORT":
		return ":" + text
	case variable == "MEDIATOR_IP" && validPort(port):
		return "http://" + net.JoinHostPort(strings.Trim(text, "[]"), port)
	}
	return text
}

// mistake records a mistake once. The variable is the first word of name.
func (r *reader) mistake(name, format string, args ...any) {
	if text := name + " " + fmt.Sprintf(format, args...); !slices.Contains(r.mistakes, text) {
		r.mistakes = append(r.mistakes, text)
	}
}

// quote quotes a value for a message, on one line of bounded length. Secrets must not be quoted.
func quote(text string) string { return fmt.Sprintf("%.80q", text) }

// parse sets the field of a setting from its text.
func (r *reader) parse(in input) {
	if in.tag.Get("format") == "verbatim" && in.name == in.Name { // spaces around it count
		in.text = cmp.Or(r.flags[in.Name], r.getenv(in.Name))
	}
	if in.text == "" {
		return
	}
	if enum := in.tag.Get("enum"); enum != "" {
		r.parseEnum(in, strings.Split(enum, ","))
		return
	}
	switch v := in.value.Addr().Interface().(type) {
	case *string:
		*v = r.normalize(in)
	case *bool:
		on, ok := boolNames[strings.ToLower(in.text)]
		if !ok {
			r.mistake(in.name, "is %s: use true or false", quote(in.text))
		}
		*v = on
	case *int:
		*v = parseBounded(r, in, strconv.Atoi)
	case *time.Duration:
		*v = parseBounded(r, in, time.ParseDuration)
	case *Secret:
		*v = in.secret(r.normalize(in))
		if strings.ContainsFunc(in.text, unicode.IsControl) && in.tag.Get("format") == "" {
			r.mistake(in.name, "contains a control character, perhaps a line break: write it on one line")
		}
	case *[]Secret:
		for text := range strings.FieldsSeq(in.text) {
			*v = append(*v, NewSecret(r.normalize(input{in.Row, in.name, text, in.from})))
		}
	case *[]string:
		*v = r.parseList(in)
	case *[]netip.Prefix:
		for _, text := range r.parseList(in) {
			network, _ := netip.ParsePrefix(text)
			*v = append(*v, network)
		}
	default:
		panic("config: no parser for " + in.Name)
	}
}

// parseEnum accepts the choices in any letter case.
func (r *reader) parseEnum(in input, choices []string) {
	i := slices.IndexFunc(choices, func(c string) bool { return strings.EqualFold(c, in.text) })
	if i < 0 {
		last := len(choices) - 1
		r.mistake(in.name, "is %s: use %s or %s", quote(in.text), strings.Join(choices[:last], ", "), choices[last])
		return
	}
	switch v := in.value.Addr().Interface().(type) {
	case *bool:
		*v = i == 1
	case *slog.Level:
		_ = v.UnmarshalText([]byte(choices[i])) // the choices are names of levels
	default:
		in.value.Set(reflect.ValueOf(choices[i]).Convert(in.value.Type()))
	}
}

var boolNames = map[string]bool{
	"true": true, "1": true, "yes": true, "on": true,
	"false": false, "0": false, "no": false, "off": false,
}

// parseBounded checks the value against the min and max of the setting, which may have no max.
func parseBounded[T cmp.Ordered](r *reader, in input, parse func(string) (T, error)) T {
	value, err := parse(in.text)
	least, _ := parse(in.tag.Get("min"))
	most, unlimited := parse(in.tag.Get("max"))
	switch {
	case err != nil:
		r.mistake(in.name, "is %s: use a value such as %s", quote(in.text), in.Default)
	case unlimited != nil && value < least:
		r.mistake(in.name, "is %v: use at least %s", value, in.tag.Get("min"))
	case unlimited == nil && (value < least || value > most):
		r.mistake(in.name, "is %v: use a value from %s to %s", value, in.tag.Get("min"), in.tag.Get("max"))
	}
	return value
}

// parseList normalizes each item and drops duplicates, but not of files: their position
// pairs them with the files of another setting.
func (r *reader) parseList(in input) (list []string) {
	format := in.tag.Get("format")
	var items []string
	for item := range strings.SplitSeq(in.text, ",") {
		item, last := strings.TrimSpace(item), len(items)-1
		switch {
		case item == "":
		case format == "resource" && last >= 0 && strings.Contains(items[last], "?") && !strings.HasPrefix(item, "/"):
			items[last] += "," + item // the comma is in the query, such as ?$select=subject,showAs
		default:
			items = append(items, item)
		}
	}
	for _, item := range items {
		item = r.normalize(input{in.Row, in.name, item, in.from})
		switch duplicate := slices.Contains(list, item); {
		case format == "file" || !duplicate:
			list = append(list, item)
		case format == "resource":
			r.mistake(in.name, "contains %s twice: Graph accepts it once", quote(item))
		}
	}
	if len(list) == 0 {
		r.mistake(in.name, "names no %s: unset it, or separate several with commas", format)
	}
	return list
}

// Mistakes are the mistakes in the settings. Each begins with the variable and says what to do.
type Mistakes []string

func (m Mistakes) Error() string { return strings.Join(m, "\n") }

// In returns the first of the variables, or of the files with their values, that has a mistake;
// empty: none.
func (m Mistakes) In(variables ...string) string {
	for _, variable := range variables {
		for _, name := range []string{variable, variable + fileSuffix} {
			if slices.ContainsFunc(m, func(mistake string) bool { return strings.HasPrefix(mistake, name+" ") }) {
				return name
			}
		}
	}
	return ""
}

// Has reports whether one of the variables, or a file with its value, has a mistake.
func (m Mistakes) Has(variables ...string) bool { return m.In(variables...) != "" }
