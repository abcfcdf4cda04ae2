package config

import (
	"cmp"
	"net"
	"reflect"
	"strings"
)

// Used is a setting as it would be used, fit to be shown: secrets are redacted.
type Used struct {
	Name  string `json:"name"`
	Value string `json:"value"` // empty: none
	From  string `json:"from"`  // flag, default, or the variable that it was read from
}

// formerly lists the first outlook-monitor's names, and those of platforms.
var formerly = map[string][]string{
	"AZURE_TENANT_ID": {"TENANT"}, "AZURE_CLIENT_ID": {"CLIENT_ID"}, "AZURE_CLIENT_SECRET": {"CLIENT_SECRET"},
	"MEDIATOR_URL": {"MEDIATOR_IP"}, "LISTEN_ADDR": {"PORT"},
}

// Used lists all settings in the order of [Table], right or wrong.
func (s *Serve) Used(getenv func(string) string) []Used {
	r := newReader(s, getenv)
	var all []Used
	for field := range reflect.TypeFor[Serve]().Fields() {
		name := field.Tag.Get("setting")
		found := r.get(name, formerly[name]...)
		u := Used{Name: name, Value: found.text, From: found.name}
		switch {
		case strings.TrimSpace(r.flags[name]) != "":
			u.From = "flag"
		case found.text == "", found.name == name && strings.TrimSpace(getenv(name)) == "":
			u.Value, u.From = cmp.Or(found.text, field.Tag.Get("otherwise")), "default"
		case found.name == "PORT":
			u.Value = ":" + found.text
		case found.name == "MEDIATOR_IP":
			u.Value = "http://" + net.JoinHostPort(strings.Trim(found.text, "[]"), strings.TrimSpace(getenv("MEDIATOR_PORT")))
		}
		switch field.Type {
		case reflect.TypeFor[Secret]():
			if u.From != "default" {
				u.Value = NewSecret(u.Value).String()
			}
		case reflect.TypeFor[URL]():
			u.Value = NewURL(u.Value).String()
		}
		all = append(all, u)
	}
	return all
}
