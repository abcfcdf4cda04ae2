package config

import (
	"encoding/base64"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// forms check one value of a setting each, and return it in shape. What can't be told
// from a value alone is in checks.go.
var forms = map[string]func(*reader, given) string{
	"address":   (*reader).address,
	"base":      (*reader).base,
	"directory": (*reader).directory,
	"domain":    (*reader).domain,
	"email":     (*reader).email,
	"file":      (*reader).file,
	"host":      (*reader).host,
	"id":        (*reader).id,
	"redis":     (*reader).redis,
	"resource":  (*reader).resource,
	"signing":   (*reader).signing,
}

func (r *reader) formed(g given) string {
	if check := forms[g.tag.Get("form")]; check != nil {
		return check(r, g)
	}
	return g.text
}

// identifier is what a tenant or client id may be made of: a GUID or a domain.
var identifier = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]*$`)

func (r *reader) id(g given) string {
	if !identifier.MatchString(g.text) {
		r.wrong(g.name, "is %s: write the id from the overview of the app registration, letters, digits, hyphens and dots alone", shown(g.text))
	}
	return g.text
}

// host is the base URL of a place that tokens and secrets are sent to.
func (r *reader) host(g given) string {
	u, err := url.Parse(strings.TrimRight(g.text, "/"))
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		r.wrong(g.name, "is no base URL: write https:// and a host, nothing after it")
		return ""
	}
	return u.String()
}

// base is a URL to which paths are added: without query and fragment.
func (r *reader) base(g given) string {
	example := g.tag.Get("example")
	u, err := NewURL(g.text).Parse()
	switch port := r.env("MEDIATOR_PORT"); {
	case g.name == "MEDIATOR_IP" && !validPort(port):
		r.wrong("MEDIATOR_PORT", "is %s, but MEDIATOR_IP needs a port: set MEDIATOR_URL instead of both, such as %s", shown(port), example)
		return ""
	case err != nil || u.Hostname() == "" || u.Port() != "" && !validPort(u.Port()) || u.Scheme != "http" && u.Scheme != "https":
		r.wrong(g.name, "is no base URL: write one such as %s", example)
		return ""
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(g.text, "#"):
		r.wrong(g.name, "must not have a query or fragment: write one such as %s", example)
		return ""
	case g.Name == "PUBLIC_URL" && u.Scheme != "https" && !loopback(u.Hostname()):
		r.wrong(g.name, "must be https, because Graph calls nothing else (http is for loopback): write one such as %s", example)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u.String()
}

func (r *reader) signing(g given) string {
	encoded, ok := strings.CutPrefix(g.text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) == 0 {
		r.wrong(g.name, "must be whsec_ followed by base64, several separated by spaces: make one with: echo whsec_$(openssl rand -base64 32)")
	}
	return g.text
}

func (r *reader) redis(g given) string {
	u, err := NewURL(g.text).Parse()
	switch {
	case strings.Contains(g.text, "@") && (err != nil || torn(u)), err == nil && spoiled(u):
		r.wrong(g.name, "can't be understood: percent-encode what a URL can't hold in a password: "+
			"/ as %%2F, ? as %%3F, # as %%23, @ as %%40, %% as %%25, + as %%2B")
	case err != nil || u.Hostname() == "" || u.Scheme != "redis" && u.Scheme != "rediss":
		r.wrong(g.name, "is no Redis URL: write one such as redis://127.0.0.1:6379/0, or rediss://… for TLS")
	}
	return g.text
}

// spoiled reports whether a password in the query, which is that of a Redis behind Sentinel,
// was not escaped. No option of Redis has a + or a fragment.
func spoiled(u *url.URL) bool {
	_, err := url.ParseQuery(u.RawQuery)
	return err != nil || strings.Contains(u.RawQuery, "+") || u.Fragment != ""
}

// address is a host:port to listen on.
func (r *reader) address(g given) string {
	_, port, err := net.SplitHostPort(g.text)
	switch {
	case g.name == "PORT" && (err != nil || !validPort(port)):
		r.wrong(g.name, "is %s: write a port from 0 to 65535", shown(g.text[len(":"):]))
	case err != nil || !validPort(port):
		r.wrong(g.name, "is %s: write an address and a port, such as 127.0.0.1:8080, or :8080 for all addresses", shown(g.text))
	default:
		return g.text
	}
	return ""
}

func validPort(text string) bool {
	_, err := netip.ParseAddrPort("0.0.0.0:" + text)
	return err == nil
}

// loopback reports whether host can only be reached from this machine.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// file is the path of a file that can be read.
func (r *reader) file(g given) string {
	f, err := os.Open(g.text)
	if err != nil {
		r.wrong(g.name, "names %s, %v", shown(g.text), errUnreadable)
		return g.text
	}
	defer f.Close()
	if stat, err := f.Stat(); err == nil && stat.IsDir() {
		r.wrong(g.name, "names %s, which is a directory: name the file in it", shown(g.text))
	}
	return g.text
}

// email is an address. It is not repeated in a mistake.
func (r *reader) email(g given) string {
	if a, err := mail.ParseAddress(g.text); err != nil || a.Address != g.text {
		r.wrong(g.name, "is no address: write one such as operator@example.com")
	}
	return g.text
}

func (r *reader) directory(g given) string {
	u, err := url.Parse(g.text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		r.wrong(g.name, "is no https URL: write the one of the ACME server's directory, such as https://acme.example.com/directory")
	}
	return g.text
}

// domainName has at least two labels; the last one is no number, which makes it no IPv4
// address.
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (r *reader) domain(g given) string {
	name := strings.ToLower(g.text)
	if !domainName.MatchString(name) || len(name) > 253 {
		r.wrong(g.name, "has %s: write full names such as monitor.example.com, separated by commas, without port and wildcard",
			shown(g.text))
	}
	return name
}

// resource is one that Graph is not known to refuse to this service.
func (r *reader) resource(g given) string {
	const own, write = "/users/{id}/", "write it such as /users/{id}/events"
	path := "/" + strings.ToLower(g.text)
	switch has := "has " + shown(g.text); {
	case strings.Contains(path, "/mailboxsettings"):
		r.wrong(g.name, "%s: Graph can't notify about mailbox settings, that is why they are polled: leave it out, "+
			"/users/{id}/events is the best hint", has)
	case strings.Contains(path, "/communications/presences"):
		r.wrong(g.name, "%s: Graph notifies about presence on behalf of a signed-in user only, not to an application: leave it out", has)
	case !strings.Contains(g.text, "{id}"):
		r.wrong(g.name, "%s without {id}, which stands for the directory object id: %s", has, write)
	case !strings.HasPrefix(g.text, own) || g.text == own:
		r.wrong(g.name, "%s, which is not under %s: %s", has, own, write)
	}
	return g.text
}
