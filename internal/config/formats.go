package config

import (
	"encoding/base64"
	"maps"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// formats check and normalize one value of a setting. Checks that need several settings are
// in checks.go.
var formats = map[string]func(*reader, input) string{
	"address":   (*reader).address,
	"base":      (*reader).base,
	"directory": (*reader).directory,
	"domain":    (*reader).domain,
	"email":     (*reader).email,
	"file":      (*reader).file,
	"host":      (*reader).host,
	"id":        (*reader).id,
	"network":   (*reader).network,
	"redis":     (*reader).redis,
	"resource":  (*reader).resource,
	"signing":   (*reader).signing,
}

func (r *reader) normalize(in input) string {
	if check := formats[in.tag.Get("format")]; check != nil {
		return check(r, in)
	}
	return in.text
}

// identifier matches a tenant or client id: a GUID or a domain.
var identifier = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]*$`)

func (r *reader) id(in input) string {
	if !identifier.MatchString(in.text) {
		r.mistake(in.name, "is %s: use the id in the overview of the app registration, only letters, digits, hyphens and dots", quote(in.text))
	}
	return in.text
}

// parseURL parses a URL, and reports whether it has one of the schemes, a host and no invalid
// port. The URL is nil if it can't be parsed.
func parseURL(text string, schemes ...string) (*url.URL, bool) {
	u, err := url.Parse(text)
	return u, err == nil && slices.Contains(schemes, u.Scheme) && u.Hostname() != "" && (u.Port() == "" || validPort(u.Port()))
}

// host checks the base URL of a host that receives tokens or secrets.
func (r *reader) host(in input) string {
	u, ok := parseURL(strings.TrimRight(in.text, "/"), "https")
	if !ok || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		r.mistake(in.name, "is not a base URL: use https:// and a host, with nothing after it")
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() // without the ? of an empty query
}

// base checks a URL to which paths are appended: it has no query and no fragment.
func (r *reader) base(in input) string {
	example := in.tag.Get("example")
	u, ok := parseURL(in.text, "http", "https")
	switch port := r.env("MEDIATOR_PORT"); {
	case in.name == "MEDIATOR_IP" && !validPort(port):
		r.mistake("MEDIATOR_PORT", "is %s, but MEDIATOR_IP needs a port: set MEDIATOR_URL instead of both, such as %s", quote(port), example)
		return ""
	case in.name == "MEDIATOR_IP" && (!ok || in.text != "http://"+u.Host):
		r.mistake(in.name, "is not a host: set MEDIATOR_URL instead of it and MEDIATOR_PORT, such as %s", example)
		return ""
	case !ok:
		r.mistake(in.name, "is not a base URL: use one such as %s", example)
		return ""
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(in.text, "#"):
		r.mistake(in.name, "must not have a query or fragment: use a URL such as %s", example)
		return ""
	case in.Name == "PUBLIC_URL" && (u.User != nil || u.Scheme != "https" && !loopback(u.Hostname())):
		r.mistake(in.name, "must be https without a user or password, because Graph calls nothing else "+
			"(http is only for loopback): use one such as %s", example)
	case in.Name == "PUBLIC_URL" && strings.ContainsAny(u.Path, ":*"): // patterns of gin
		r.mistake(in.name, "must not have a colon or an asterisk in its path: use one such as %s", example)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u.String()
}

func (r *reader) signing(in input) string {
	encoded, ok := strings.CutPrefix(in.text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) == 0 {
		r.mistake(in.name, "must be whsec_ followed by base64, several separated by spaces: "+
			"create one with echo whsec_$(openssl rand -base64 32)")
	}
	return in.text
}

func (r *reader) redis(in input) string {
	u, ok := parseURL(in.text, "redis", "rediss")
	switch {
	case strings.Contains(in.text, "@") && (u == nil || hasStrayAt(u)), u != nil && badQuery(u):
		r.mistake(in.name, "can't be parsed: percent-encode special characters in the password: "+
			"/ as %%2F, ? as %%3F, # as %%23, @ as %%40, %% as %%25, + as %%2B")
	case !ok:
		r.mistake(in.name, "is not a Redis URL: use one such as redis://127.0.0.1:6379/0, or rediss://… for TLS")
	}
	return in.text
}

// badQuery reports whether the query has an unescaped password (of a Redis behind
// Sentinel). No option of Redis contains a + or a fragment.
func badQuery(u *url.URL) bool {
	_, err := url.ParseQuery(u.RawQuery)
	return err != nil || strings.Contains(u.RawQuery, "+") || u.Fragment != ""
}

// address checks a host:port to listen on.
func (r *reader) address(in input) string {
	_, port, err := net.SplitHostPort(in.text)
	switch {
	case err == nil && (validPort(port) || port == "0"):
		return in.text
	case in.name == "PORT":
		r.mistake(in.name, "is %s: use a port from 0 to 65535", quote(in.text[len(":"):]))
	default:
		r.mistake(in.name, "is %s: use an address and a port, such as 127.0.0.1:8080, or :8080 for all addresses", quote(in.text))
	}
	return ""
}

// validPort reports whether text is a port that can be called. To listen on, 0 is any free port.
func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// loopback reports whether host can only be reached from this machine.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// file checks the path of a readable file.
func (r *reader) file(in input) string {
	f, err := openFile(in.text)
	if err != nil {
		r.mistake(in.name, "names %s, %v", quote(in.text), err)
		return in.text
	}
	_ = f.Close()
	return in.text
}

// email checks an email address, which a mistake must not repeat.
func (r *reader) email(in input) string {
	if a, err := mail.ParseAddress(in.text); err != nil || a.Address != in.text {
		r.mistake(in.name, "is not an email address: use one such as operator@example.com")
	}
	return in.text
}

func (r *reader) directory(in input) string {
	if u, ok := parseURL(in.text, "https"); !ok || u.User != nil || u.Fragment != "" {
		r.mistake(in.name, "is not an https URL: use that of the ACME server's directory, such as https://acme.example.com/directory")
	}
	return in.text
}

// domainName matches at least two labels. The last one is not a number, which excludes IPv4
// addresses.
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (r *reader) domain(in input) string {
	name := strings.ToLower(in.text)
	if !domainName.MatchString(name) || len(name) > 253 {
		r.mistake(in.name, "contains %s: use full names such as monitor.example.com, separated by commas, without ports or wildcards",
			quote(in.text))
	}
	return name
}

// network completes an address to a network.
func (r *reader) network(in input) string {
	if addr, err := netip.ParseAddr(in.text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()).String()
	}
	prefix, err := netip.ParsePrefix(in.text)
	if err != nil || prefix.Addr().Is4In6() {
		r.mistake(in.name, "contains %s: use addresses and networks such as 192.0.2.7 or 2001:db8::/32, separated by commas", quote(in.text))
	}
	return prefix.Masked().String()
}

// resource rejects resources to which Graph is known not to let this service subscribe.
func (r *reader) resource(in input) string {
	const own, remedy = "/users/{id}/", "use a path such as /users/{id}/events"
	path := "/" + strings.ToLower(in.text)
	switch contains := "contains " + quote(in.text); {
	case strings.Contains(path, "/mailboxsettings"):
		r.mistake(in.name, "%s: Graph has no notifications for mailbox settings, so they are polled: remove it; "+
			"/users/{id}/events is the best hint", contains)
	case strings.Contains(path, "/communications/presences"):
		r.mistake(in.name, "%s: Graph sends presence notifications only on behalf of a signed-in user: remove it", contains)
	case !strings.Contains(in.text, "{id}"):
		r.mistake(in.name, "%s without {id}, the placeholder for the directory object id: %s", contains, remedy)
	case !strings.HasPrefix(in.text, own) || in.text == own:
		r.mistake(in.name, "%s, which is not under %s: %s", contains, own, remedy)
	}
	for _, option := range queryOptions(in.text) {
		if option != "$select" && option != "$filter" {
			r.mistake(in.name, "contains %s with %s: Graph allows only $select and $filter in a subscription: remove it",
				quote(in.text), quote(option))
		}
	}
	return in.text
}

// queryOptions returns the names of the options in a resource's query, in lower case.
func queryOptions(resource string) []string {
	_, query, _ := strings.Cut(strings.ToLower(resource), "?")
	values, _ := url.ParseQuery(query) // the valid part, despite an error
	return slices.Sorted(maps.Keys(values))
}
