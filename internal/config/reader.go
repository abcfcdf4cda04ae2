package config

import (
	"cmp"
	"errors"
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

// Settings looks up, understands and checks everything: what is not given as a flag
// comes from getenv, what is not there has its default. The error holds all mistakes,
// each a line that names the variable and says what to write.
func (s *Serve) Settings(getenv func(string) string) (Settings, error) {
	r := &reader{flags: s.flags(), getenv: getenv}
	for _, row := range rowsOf(reflect.ValueOf(&r.settings).Elem()) {
		if row.Holds == "" {
			r.understand(r.get(row))
		}
	}
	r.checkGraph()
	r.checkMediator()
	r.checkRedis()
	r.checkListen()
	r.checkFront()
	r.checkTunnel()
	r.checkEncryption()
	return r.settings, errors.Join(r.errs...)
}

// Used is a setting as it would be used, fit to be shown: secrets are redacted.
type Used struct {
	Name  string `json:"name"`
	Value string `json:"value"` // empty: none
	From  string `json:"from"`  // flag, default, or the variable that it was read from
}

// Used lists all settings in the order of [Table], right or wrong.
func (s *Serve) Used(getenv func(string) string) (all []Used) {
	r := &reader{flags: s.flags(), getenv: getenv}
	for _, row := range Table() {
		g := r.get(row)
		switch {
		case g.from == "default":
			g.text = cmp.Or(g.text, row.Default)
		case row.Holds == "" && row.secret():
			g.text = g.secret(g.text).String()
		}
		all = append(all, Used{row.Name, g.text, g.from})
	}
	return all
}

// reader understands settings and collects mistakes.
type reader struct {
	settings Settings
	flags    map[string]string // by variable
	getenv   func(string) string
	errs     []error
	blamed   []string // the variables of errs
}

// given is the text of a setting.
type given struct {
	Row
	name string // the variable to blame for a mistake, and the file that it was read from
	text string
	from string // flag, default, or the variable
}

// get looks a setting up: in the file that holds its value, or as a flag, variable, old
// name or default.
func (r *reader) get(row Row) given {
	g := r.direct(row)
	if row.Holds != "" || !row.secret() {
		return g
	}
	file := r.direct(Row{Name: row.Name + fileSuffix})
	switch {
	case file.text == "":
		return g
	case g.from != "default":
		r.wrong(file.name, "and %s are both set: leave one of them out", g.name)
		return g
	}
	text, err := ReadSecret(file.text)
	if err != nil {
		r.wrong(file.name, "names %s, %v", shown(file.text), err)
	}
	if row.tag.Get("form") != "verbatim" {
		text = strings.TrimSpace(text)
	}
	return given{row, row.Name + " (in " + file.name + ")", text, file.name}
}

// direct looks a setting up that is no file's.
func (r *reader) direct(row Row) given {
	if text := strings.TrimSpace(r.flags[row.Name]); text != "" {
		return given{row, row.Name, text, "flag"}
	}
	for _, variable := range []string{row.Name, row.tag.Get("was")} {
		if text := r.env(variable); text != "" {
			return given{row, variable, text, variable}
		}
	}
	return given{row, row.Name, row.tag.Get("default"), "default"}
}

// secret returns text as the secret or URL that the setting is.
func (g given) secret(text string) Secret {
	if form := g.tag.Get("form"); form == "base" || form == "redis" {
		return NewURL(text)
	}
	return NewSecret(text)
}

// env is a variable. PORT and MEDIATOR_IP hold a part of what they stand for.
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

// wrong collects a mistake; the same one counts once. The name may be followed by where
// the value is.
func (r *reader) wrong(name, format string, args ...any) {
	err := fmt.Errorf("%s "+format, append([]any{name}, args...)...)
	if !slices.ContainsFunc(r.errs, func(e error) bool { return e.Error() == err.Error() }) {
		variable, _, _ := strings.Cut(name, " ")
		r.errs, r.blamed = append(r.errs, err), append(r.blamed, variable)
	}
}

// mistaken reports whether a mistake was found in any of the variables, or in the files
// that hold their values.
func (r *reader) mistaken(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.Contains(r.blamed, name) || slices.Contains(r.blamed, name+fileSuffix)
	})
}

// shown quotes a value that is no secret, in one line of bounded length.
func shown(text string) string { return fmt.Sprintf("%.80q", text) }

// understand sets the field of the setting from its text.
func (r *reader) understand(g given) {
	if g.tag.Get("form") == "verbatim" && g.name == g.Name { // it may begin or end with a space
		g.text = cmp.Or(r.flags[g.Name], r.getenv(g.Name))
	}
	if g.text == "" {
		return
	}
	if enum := g.tag.Get("enum"); enum != "" {
		r.choose(g, strings.Split(enum, ","))
		return
	}
	switch v := g.value.Addr().Interface().(type) {
	case *string:
		*v = r.formed(g)
	case *bool:
		*v = r.on(g)
	case *int:
		*v = bounded(r, g, strconv.Atoi)
	case *time.Duration:
		*v = bounded(r, g, time.ParseDuration)
	case *Secret:
		*v = g.secret(r.formed(g))
		if strings.ContainsFunc(g.text, unicode.IsControl) && g.tag.Get("form") == "" {
			r.wrong(g.name, "contains a control character, perhaps a line break: write it in one line")
		}
	case *[]Secret:
		for text := range strings.FieldsSeq(g.text) {
			*v = append(*v, NewSecret(r.formed(given{g.Row, g.name, text, g.from})))
		}
	case *[]string:
		*v = r.list(g)
	case *[]netip.Prefix:
		*v = r.networks(g)
	default:
		panic("config: no reader for " + g.Name)
	}
}

// choose takes one of the choices, in their letter case.
func (r *reader) choose(g given, choices []string) {
	i := slices.IndexFunc(choices, func(c string) bool { return strings.EqualFold(c, g.text) })
	if i < 0 {
		last := len(choices) - 1
		r.wrong(g.name, "is %s: write %s or %s", shown(g.text), strings.Join(choices[:last], ", "), choices[last])
		return
	}
	switch v := g.value.Addr().Interface().(type) {
	case *bool:
		*v = i == 1
	case *slog.Level:
		_ = v.UnmarshalText([]byte(choices[i])) // the choices are its names
	default:
		g.value.Set(reflect.ValueOf(choices[i]).Convert(g.value.Type()))
	}
}

var toggles = map[string]bool{
	"true": true, "1": true, "yes": true, "on": true,
	"false": false, "0": false, "no": false, "off": false,
}

func (r *reader) on(g given) bool {
	on, ok := toggles[strings.ToLower(g.text)]
	if !ok {
		r.wrong(g.name, "is %s: write true or false", shown(g.text))
	}
	return on
}

// bounded reads a value between the bounds of the setting, which need not have a max.
func bounded[T cmp.Ordered](r *reader, g given, parse func(string) (T, error)) T {
	value, err := parse(g.text)
	least, _ := parse(g.tag.Get("min"))
	most, unlimited := parse(g.tag.Get("max"))
	switch {
	case err != nil:
		r.wrong(g.name, "is %s: write one such as %s", shown(g.text), g.Default)
	case unlimited != nil && value < least:
		r.wrong(g.name, "is %v: write at least %s", value, g.tag.Get("min"))
	case unlimited == nil && (value < least || value > most):
		r.wrong(g.name, "is %v: write one from %s to %s", value, g.tag.Get("min"), g.tag.Get("max"))
	}
	return value
}

// items returns what is separated by commas.
func items(text string) (all []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

// list reads texts separated by commas, each of the form of the field. Files belong to
// those of another setting; of all else a second one adds nothing.
func (r *reader) list(g given) (list []string) {
	form := g.tag.Get("form")
	for _, item := range items(g.text) {
		item = r.formed(given{g.Row, g.name, item, g.from})
		switch twice := slices.Contains(list, item); {
		case form == "file" || !twice:
			list = append(list, item)
		case form == "resource":
			r.wrong(g.name, "has %s twice: Graph takes it once", shown(item))
		}
	}
	if len(list) == 0 {
		r.wrong(g.name, "names no %s: leave it out, or write several separated by commas", form)
	}
	return list
}

// networks reads addresses and CIDRs separated by commas.
func (r *reader) networks(g given) (all []netip.Prefix) {
	for _, item := range items(g.text) {
		prefix, err := netip.ParsePrefix(item)
		if addr, notAddr := netip.ParseAddr(item); notAddr == nil {
			addr = addr.Unmap()
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() {
			r.wrong(g.name, "has %s: write addresses and networks such as 192.0.2.7 or 2001:db8::/32, separated by commas", shown(item))
			continue
		}
		all = append(all, prefix.Masked())
	}
	return all
}
