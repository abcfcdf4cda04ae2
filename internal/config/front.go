package config

import (
	"crypto/x509"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Front says what guards the paths of Graph and who vouches for the domains.
type Front struct {
	ACMEDomains   []string // in lower case; none: no ACME
	ACMEEmail     string
	ACMEDirectory string // empty: Let's Encrypt
	ACMECAFile    string // trusted for the ACME server; empty: the system's

	PublicRateLimit int            // requests a second of each source; 0: no limit
	PublicAllow     []netip.Prefix // none: everyone
	TrustedProxies  []netip.Prefix
}

func (r *reader) front() Front {
	f := Front{
		ACMEDomains:     r.domains(),
		ACMEEmail:       r.email("ACME_EMAIL"),
		ACMEDirectory:   r.directory("ACME_DIRECTORY"),
		ACMECAFile:      r.authority("ACME_CA_FILE"),
		PublicRateLimit: r.rateLimit(),
		PublicAllow:     r.networks("PUBLIC_ALLOW"),
		TrustedProxies:  r.networks("TRUSTED_PROXIES"),
	}
	if i := slices.IndexFunc(f.TrustedProxies, func(p netip.Prefix) bool { return p.Bits() == 0 }); i >= 0 {
		r.wrong("TRUSTED_PROXIES", "has %s, with which every caller could say where it comes from: write the addresses of the proxies alone", f.TrustedProxies[i])
	}
	return f
}

// items returns what is separated by commas, each once.
func items(text string) []string {
	var all []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" && !slices.Contains(all, item) {
			all = append(all, item)
		}
	}
	return all
}

// domain is a name of at least two labels; the last one is no number, which makes
// it no IPv4 address.
var domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (r *reader) domains() []string {
	s := r.get("ACME_DOMAINS")
	names := items(strings.ToLower(s.text))
	bad := slices.IndexFunc(names, func(name string) bool { return !domain.MatchString(name) || len(name) > 253 })
	host := ""
	if public, err := NewURL(r.get("PUBLIC_URL").text).Parse(); err == nil {
		host = strings.ToLower(public.Hostname())
	}
	switch {
	case len(names) == 0:
	case bad >= 0:
		r.wrong(s.name, "has %s: write full names such as monitor.example.com, separated by commas, without port and wildcard", shown(names[bad]))
	case r.get("TLS_CERT_FILE").text != "" || r.get("TLS_KEY_FILE").text != "":
		r.wrong(s.name, "and TLS_CERT_FILE are both set, but the certificate can come from one place only: set either")
	case host != "" && !slices.Contains(names, host):
		r.wrong(s.name, "lacks %s, the host of PUBLIC_URL, so that Graph would be shown no certificate: add it", shown(host))
	}
	return names
}

// email returns an address. It is not repeated in a mistake.
func (r *reader) email(name string) string {
	s := r.get(name)
	if s.text == "" {
		return ""
	}
	if a, err := mail.ParseAddress(s.text); err != nil || a.Address != s.text {
		r.wrong(s.name, "is no address: write one such as operator@example.com")
	}
	return s.text
}

func (r *reader) directory(name string) string {
	s := r.get(name)
	if s.text == "" {
		return ""
	}
	u, err := url.Parse(s.text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		r.wrong(s.name, "is no https URL: write the one of the ACME server's directory, such as https://acme.example.com/directory")
	}
	return s.text
}

// authority returns the path of a file that holds certificates.
func (r *reader) authority(name string) string {
	path := r.file(name)
	if path == "" || r.mistaken(name) {
		return path
	}
	text, err := os.ReadFile(path)
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
		r.wrong(name, "names %s, which holds no certificate: write it as PEM", shown(path))
	}
	return path
}

const maxRateLimit = 1_000_000

func (r *reader) rateLimit() int {
	s := r.get("PUBLIC_RATE_LIMIT")
	n, err := strconv.Atoi(s.text)
	if err != nil || n < 0 || n > maxRateLimit {
		r.wrong(s.name, "is %s: write a number from 0 (no limit) to %d", shown(s.text), maxRateLimit)
	}
	return n
}

// networks reads addresses and CIDRs separated by commas.
func (r *reader) networks(name string) []netip.Prefix {
	s := r.get(name)
	var all []netip.Prefix
	for _, item := range items(s.text) {
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			addr, notAddr := netip.ParseAddr(item)
			addr = addr.Unmap()
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), notAddr
		}
		if err != nil || prefix.Addr().Is4In6() {
			r.wrong(s.name, "has %s: write addresses and networks such as 192.0.2.7 or 2001:db8::/32, separated by commas", shown(item))
			return nil
		}
		all = append(all, prefix.Masked())
	}
	return all
}
