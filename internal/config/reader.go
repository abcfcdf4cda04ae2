package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// reader looks settings up and collects mistakes.
type reader struct {
	flags    map[string]string // by variable
	defaults map[string]string // by variable; only what can be understood
	getenv   func(string) string
	errs     []error
	blamed   []string // the variables of errs
}

func newReader(s *Serve, getenv func(string) string) *reader {
	r := &reader{flags: map[string]string{}, defaults: map[string]string{}, getenv: getenv}
	given := reflect.ValueOf(s).Elem()
	for field := range given.Type().Fields() {
		name := field.Tag.Get("setting")
		switch value := given.FieldByIndex(field.Index).Interface().(type) {
		case Secret:
			r.flags[name] = value.Reveal()
		case URL:
			r.flags[name] = value.Reveal()
		case Switch:
			r.flags[name] = string(value)
		case string:
			r.flags[name] = value
		}
		if _, literal := field.Tag.Lookup("literal"); literal {
			r.defaults[name] = field.Tag.Get("otherwise")
		}
	}
	return r
}

// setting is a value together with the variable that a mistake in it is to be
// blamed on.
type setting struct{ name, text string }

// get looks a setting up: flag, variable, old names, default.
func (r *reader) get(name string, old ...string) setting {
	if text := strings.TrimSpace(r.flags[name]); text != "" {
		return setting{name, text}
	}
	for _, variable := range append([]string{name}, old...) {
		if text := strings.TrimSpace(r.getenv(variable)); text != "" {
			return setting{variable, text}
		}
	}
	return setting{name, r.defaults[name]}
}

func (r *reader) wrong(name, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s "+format, append([]any{name}, args...)...))
	r.blamed = append(r.blamed, name)
}

// mistaken says whether a mistake was found in any of the variables.
func (r *reader) mistaken(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(r.blamed, name) })
}

// shown quotes a value that is no secret, in one line of bounded length.
func shown(text string) string { return fmt.Sprintf("%.80q", text) }

func (r *reader) secret(name string, old ...string) Secret {
	s := r.get(name, old...)
	if strings.ContainsFunc(s.text, unicode.IsControl) {
		r.wrong(s.name, "contains a control character, perhaps a line break: write it in one line")
	}
	return NewSecret(s.text)
}

// verbatim is secret for what may begin or end with a space.
func (r *reader) verbatim(name string) Secret {
	return NewSecret(cmp.Or(r.flags[name], r.getenv(name)))
}

func (r *reader) on(name string) bool {
	s := r.get(name)
	if s.text == "" {
		return false
	}
	on, ok := Switch(s.text).parse()
	if !ok {
		r.wrong(s.name, "is %s: write true or false", shown(s.text))
	}
	return on
}

// one returns which of the choices was made, in the letter case of choices.
func (r *reader) one(name string, choices ...string) string {
	s := r.get(name)
	i := slices.IndexFunc(choices, func(c string) bool { return strings.EqualFold(c, s.text) })
	switch {
	case i >= 0:
		return choices[i]
	case s.text != "":
		last := len(choices) - 1
		r.wrong(s.name, "is %s: write %s or %s", shown(s.text), strings.Join(choices[:last], ", "), choices[last])
	}
	return ""
}

// duration reads a duration between least and most; most 0 is no limit.
func (r *reader) duration(name string, least, most time.Duration) time.Duration {
	s := r.get(name)
	d, err := time.ParseDuration(s.text)
	switch {
	case err != nil:
		r.wrong(s.name, "is %s: write a number with a unit, such as %s", shown(s.text), r.defaults[name])
	case d < least:
		r.wrong(s.name, "is %s: write at least %s", d, brief(least))
	case most > 0 && d > most:
		r.wrong(s.name, "is %s: write at most %s", d, brief(most))
	}
	return d
}

// brief writes whole minutes as minutes: Microsoft's limits are told in them.
func brief(d time.Duration) string {
	if d > 0 && d%time.Minute == 0 {
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// file returns the path of a file after a look whether it can be read.
func (r *reader) file(name string) string {
	s := r.get(name)
	r.readable(s)
	return s.text
}

// files is file for several paths separated by commas.
func (r *reader) files(name string) []string {
	s := r.get(name)
	var paths []string
	for path := range strings.SplitSeq(s.text, ",") {
		if path = strings.TrimSpace(path); path != "" {
			r.readable(setting{s.name, path})
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 && s.text != "" {
		r.wrong(s.name, "names no file: write paths separated by commas, or leave it out")
	}
	return paths
}

// readable looks whether a file can be read, if one is named.
func (r *reader) readable(s setting) {
	if s.text == "" {
		return
	}
	f, err := os.Open(s.text)
	if err != nil {
		r.wrong(s.name, "names %s, which can't be read: check the path and its permissions", shown(s.text))
		return
	}
	defer f.Close()
	if stat, err := f.Stat(); err == nil && stat.IsDir() {
		r.wrong(s.name, "names %s, which is a directory: name the file in it", shown(s.text))
	}
}

// loopback says whether host can only be reached from this machine.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// address returns a host:port to listen on.
func (r *reader) address(s setting) string {
	_, port, err := net.SplitHostPort(s.text)
	if err != nil || !validPort(port) {
		r.wrong(s.name, "is %s: write an address and a port, such as 127.0.0.1:8080, or :8080 for all addresses", shown(s.text))
		return ""
	}
	return s.text
}

func validPort(text string) bool {
	_, err := netip.ParseAddrPort("0.0.0.0:" + text)
	return err == nil
}
