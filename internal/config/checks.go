package config

import (
	"cmp"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// formats check and normalize a value. An error continues the sentence that begins with the
// setting; it must not quote a secret.
var formats = map[string]func(in *input, text string) (string, error){
	"address": address,
	"base":    base,
	"choice":  choice,
	"directory": accept(isDirectory,
		"is not an https URL: use that of the ACME server's directory, such as https://acme.example.com/directory"),
	"domain": domain,
	"email":  accept(isEmail, "is not an email address: use one such as operator@example.com"),
	"file":   file,
	"host":   host,
	"id": accept(regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.-]*$`).MatchString,
		"is VALUE: use the id in the overview of the app registration, only letters, digits, hyphens and dots"),
	"line":    accept(isLine, "contains a control character, perhaps a line break: write it on one line"),
	"network": network,
	"signing": accept(isSigningSecret, "must be whsec_ followed by base64, several separated by spaces: "+
		"create one with echo whsec_$(openssl rand -base64 32)"),
}

// accept returns a format that accepts valid values as they are. VALUE stands for another one.
func accept(valid func(text string) bool, otherwise string) func(*input, string) (string, error) {
	return func(_ *input, text string) (string, error) {
		if !valid(text) {
			return "", errors.New(strings.Replace(otherwise, "VALUE", quote(text), 1))
		}
		return text, nil
	}
}

// quote quotes a value for a message, on one line of bounded length. Secrets must not be quoted.
func quote(text string) string { return fmt.Sprintf("%.80q", text) }

func isLine(text string) bool { return !strings.ContainsFunc(text, unicode.IsControl) }

func isEmail(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text
}

func isSigningSecret(text string) bool {
	encoded, ok := strings.CutPrefix(text, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	return ok && err == nil && len(key) > 0
}

func isDirectory(text string) bool {
	u, ok := parseURL(text, "https")
	return ok && u.User == nil && u.Fragment == ""
}

// host checks the base URL of a host that receives tokens or secrets.
func host(_ *input, text string) (string, error) {
	u, ok := parseURL(strings.TrimRight(text, "/"), "https")
	if !ok || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("is not a base URL: use https:// and a host, with nothing after it")
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), nil // without the ? of an empty query
}

// base checks a URL to which paths are appended: it has no query and no fragment.
func base(in *input, text string) (string, error) {
	example := in.tag.Get("example")
	u, ok := parseURL(text, "http", "https")
	switch {
	case in.from == "MEDIATOR_IP" && (!ok || u.Port() == "" || text != "http://"+u.Host):
		return "", errors.New("and MEDIATOR_PORT are not a host and a port: set MEDIATOR_URL instead of both, such as " + example)
	case !ok:
		return "", errors.New("is not a base URL: use one such as " + example)
	case strings.ContainsAny(text, "?#"):
		return "", errors.New("must not have a query or fragment: use a URL such as " + example)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u.String(), nil
}

// parseURL parses a URL, and reports whether it has one of the schemes, a host and no invalid
// port. The URL is nil if it can't be parsed.
func parseURL(text string, schemes ...string) (*url.URL, bool) {
	u, err := url.Parse(text)
	return u, err == nil && slices.Contains(schemes, u.Scheme) && u.Hostname() != "" && (u.Port() == "" || validPort(u.Port()))
}

// validPort reports whether text is a port that can be called. To listen on, 0 is any free port.
func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// address checks a host:port to listen on.
func address(in *input, text string) (string, error) {
	_, port, err := net.SplitHostPort(text)
	switch {
	case err == nil && (validPort(port) || port == "0"):
		return text, nil
	case in.from == "PORT":
		return "", fmt.Errorf("is %s: use a port from 0 to 65535", quote(text[len(":"):]))
	}
	return "", fmt.Errorf("is %s: use an address and a port, such as 127.0.0.1:8080, or :8080 for all addresses", quote(text))
}

// file checks the path of a readable file, and returns it in any case.
func file(_ *input, text string) (string, error) {
	f, err := openFile(text)
	if err != nil {
		return text, fmt.Errorf("names %s, %w", quote(text), err)
	}
	return text, f.Close()
}

// choice checks a setting with an enum, in any letter case.
func choice(in *input, text string) (string, error) {
	choices := strings.Split(in.tag.Get("enum"), ",")
	name := cmp.Or(otherNames[strings.ToLower(text)], text)
	i := slices.IndexFunc(choices, func(choice string) bool { return strings.EqualFold(choice, name) })
	if last := len(choices) - 1; i < 0 {
		return "", fmt.Errorf("is %s: use %s or %s", quote(text), strings.Join(choices[:last], ", "), choices[last])
	}
	return choices[i], nil
}

// onOff is the enum of a setting that is on or off, with otherNames.
const onOff = "false,true"

var otherNames = map[string]string{"1": "true", "yes": "true", "on": "true", "0": "false", "no": "false", "off": "false"}

// domainName matches at least two labels. The last one is not a number, which excludes IPv4
// addresses.
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func domain(_ *input, text string) (string, error) {
	name := strings.ToLower(text)
	if !domainName.MatchString(name) || len(name) > 253 {
		return "", fmt.Errorf("contains %s: use full names such as monitor.example.com, separated by commas, "+
			"without ports or wildcards", quote(text))
	}
	return name, nil
}

// network completes an address to a network.
func network(_ *input, text string) (string, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()).String(), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return "", fmt.Errorf("contains %s: use addresses and networks such as 192.0.2.7 or 2001:db8::/32, "+
			"separated by commas", quote(text))
	}
	return prefix.Masked().String(), nil
}

// check records a mistake in a setting if it is wrong, unless it has a mistake already.
func (r *reader) check(wrong bool, setting, format string, args ...any) {
	if in := r.input(setting); wrong && !in.wrong {
		r.mistake(in, format, args...)
	}
}

// checkGraph chooses the credential and checks what it needs.
func (r *reader) checkGraph() {
	g := &r.settings.Graph
	if !r.given("AZURE_MANAGED_IDENTITY") {
		platform := r.find(Row{Name: "IDENTITY_ENDPOINT", tag: `was:"MSI_ENDPOINT"`})
		g.ManagedIdentity = platform.text != ""
	}
	switch {
	case r.given("AZURE_CLIENT_SECRET"):
		g.Credential = ClientSecret
	case r.given("AZURE_CLIENT_CERTIFICATE_PATH"):
		g.Credential = Certificate
	case r.given("AZURE_FEDERATED_TOKEN_FILE"):
		g.Credential = WorkloadIdentity
	case g.ManagedIdentity:
		g.Credential = ManagedIdentity
	}
	r.check(g.Credential == "", "AZURE_CLIENT_SECRET", "is not set: set it to the client secret, or set "+
		"AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE or AZURE_MANAGED_IDENTITY=true instead")
	needed := g.Credential != ManagedIdentity || r.given("ENCRYPTION_CERT_FILE")
	const missing = "is not set: set it to the %s id of the app registration, " +
		"which is also used to check the tokens of resource data"
	r.check(needed && g.TenantID == "", "AZURE_TENANT_ID", missing, "directory (tenant)")
	r.check(needed && g.ClientID == "", "AZURE_CLIENT_ID", missing, "application (client)")
}

// checkServers makes sure that there is a mediator, and that an Entra token is sent to Redis
// only over TLS, and without other credentials. internal/store checks REDIS_URL itself.
func (r *reader) checkServers() {
	r.check(!r.given("MEDIATOR_URL"), "MEDIATOR_URL",
		"is not set: set it to the base URL of the mediator, such as http://mediator.example.com:5000")
	entra := r.settings.RedisEntra && !r.input("REDIS_URL").wrong
	u := r.settings.RedisURL.URL()
	query := u.Query()
	r.check(entra && (u.Scheme == "redis" || !r.given("REDIS_URL")), "REDIS_AUTH",
		"is entra, which needs TLS: set REDIS_URL to a URL such as rediss://NAME.REGION.redis.azure.net:10000")
	r.check(entra && query.Has("master_name"), "REDIS_AUTH",
		"is entra, which does not work with Sentinel: remove master_name from REDIS_URL, or set REDIS_AUTH=url")
	r.check(entra && (u.User != nil || query.Has("username") || query.Has("password")), "REDIS_AUTH",
		"is entra, but REDIS_URL has a user or password too: remove them from REDIS_URL, or set REDIS_AUTH=url")
}

// checkListen makes sure that the private routes are not open to other machines unless that is
// intended. A tunnel opens them even if the listener is on loopback.
func (r *reader) checkListen() {
	const minLength = 16 // characters
	s, t := &r.settings, &r.settings.Tunnel
	r.check(s.PrivateAddr != "" && overlap(s.PrivateAddr, s.ListenAddr), "PRIVATE_ADDR",
		"overlaps LISTEN_ADDR or PORT: use another port, or unset it to serve everything there")
	private := s.PrivateAddr
	if !r.given("PRIVATE_ADDR") {
		private = s.ListenAddr
	}
	host, _, _ := net.SplitHostPort(private)
	reached, exposed := !loopback(host), t.Used() && s.PrivateAddr == ""
	private = cmp.Or(private, "the service") // its address is a mistake, so it may be any
	length := utf8.RuneCountInString(s.MonitorToken.Reveal())
	missing, short := length == 0 && !s.AllowAnonymous, length > 0 && length < minLength
	r.check(reached && missing, "MONITOR_TOKEN", "is not set, and %s can be reached from other machines: "+
		"set a long random token, listen on 127.0.0.1, or set ALLOW_ANONYMOUS=true", private)
	r.check(exposed && (t.Kind == AgentTunnel || t.ExposeAll) && missing, "MONITOR_TOKEN",
		"is not set, and the tunnel exposes %s to the internet: set a long random token, or set PRIVATE_ADDR", private)
	r.check(reached && short, "MONITOR_TOKEN", "has %d characters, and %s can be reached from other machines: "+
		"use at least %d, as printed by openssl rand -hex 32", length, private, minLength)
	r.check(exposed && t.ExposeAll && short, "MONITOR_TOKEN", "has %d characters, and TUNNEL_EXPOSE is all, "+
		"which lets the internet guess it: use at least %d, as printed by openssl rand -hex 32", length, minLength)
	r.checkKeyPairs("TLS_CERT_FILE", "TLS_KEY_FILE", []string{s.TLSCertFile}, []string{s.TLSKeyFile}, false)
}

// overlap reports whether it is certain that two addresses can't be listened on at the same time.
func overlap(one, other string) bool {
	host1, port1, _ := net.SplitHostPort(one)
	host2, port2, _ := net.SplitHostPort(other)
	if port1 != port2 || port1 == "0" {
		return false
	}
	// Other systems than Linux let a program listen on one address beside a listener on all.
	return host1 == host2 || runtime.GOOS == "linux" && (allAddresses(host1) || allAddresses(host2))
}

// allAddresses reports whether a listener on host listens on all addresses, of IPv4 and IPv6.
func allAddresses(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// loopback reports whether host can only be reached from this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// checkPublic checks how Graph reaches the service: by PUBLIC_URL or a tunnel, a certificate
// from an ACME server, and proxies.
func (r *reader) checkPublic() {
	const example = "use one such as https://monitor.example.com"
	s, t := &r.settings, &r.settings.Tunnel
	u := s.PublicURL.URL()
	r.check(u.User != nil || u.Scheme == "http" && !loopback(u.Hostname()), "PUBLIC_URL",
		"must be https without a user or password, because Graph calls nothing else (http is only for loopback): "+example)
	r.check(strings.ContainsAny(u.Path, ":*"), "PUBLIC_URL", // patterns of gin
		"must not have a colon or an asterisk in its path: "+example)
	r.check(t.Used() && r.given("PUBLIC_URL"), "TUNNEL",
		"is %s and PUBLIC_URL is set too, but the tunnel's URL is used as PUBLIC_URL: unset one of them", t.Kind)
	r.check(t.Kind == NgrokTunnel && t.NgrokToken.IsZero(), "NGROK_AUTHTOKEN",
		"is not set, but TUNNEL is ngrok: copy it from https://dashboard.ngrok.com/get-started/your-authtoken")
	everyone := func(p netip.Prefix) bool { return p.Bits() == 0 }
	r.check(slices.ContainsFunc(s.TrustedProxies, everyone), "TRUSTED_PROXIES",
		"contains 0.0.0.0/0 or ::/0, which lets every caller choose its source address: list only the addresses of the proxies")
	authorities, _ := os.ReadFile(s.ACMECAFile)
	r.check(s.ACMECAFile != "" && !x509.NewCertPool().AppendCertsFromPEM(authorities), "ACME_CA_FILE",
		"names %s, which contains no certificate: use a PEM file", quote(s.ACMECAFile))
	acme, host := len(s.ACMEDomains) > 0, strings.ToLower(u.Hostname())
	r.check(acme && (r.given("TLS_CERT_FILE") || r.given("TLS_KEY_FILE")), "ACME_DOMAINS",
		"and TLS_CERT_FILE are both set, but only one can provide the certificate: unset one of them")
	r.check(acme && host != "" && !slices.Contains(s.ACMEDomains, host), "ACME_DOMAINS",
		"does not include %s, the host of PUBLIC_URL, so Graph would get no certificate: add it", quote(host))
}

// checkResources makes sure that Graph lets this service subscribe to the resources, as far
// as that is known, and sends their data if it is requested.
func (r *reader) checkResources() {
	const own = "/users/{id}/"
	s, in := &r.settings, r.input("SUBSCRIPTION_RESOURCES")
	r.checkKeyPairs("ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE", s.EncryptionCertFiles, s.EncryptionKeyFiles, true)
	selected := []string{"events", "messages", "contacts"} // by internal/subscribe
	for _, resource := range s.Resources {
		lower, query, _ := strings.Cut("/"+strings.ToLower(resource), "?")
		options, _ := url.ParseQuery(query) // the valid part, despite an error
		contains := "contains " + quote(resource)
		switch {
		case strings.Contains(lower, "/mailboxsettings"):
			r.mistake(in, "%s: Graph has no notifications for mailbox settings, so they are polled: remove it; "+
				"/users/{id}/events is the best hint", contains)
		case strings.Contains(lower, "/communications/presences"):
			r.mistake(in, "%s: Graph sends presence notifications only on behalf of a signed-in user: remove it", contains)
		case !strings.HasPrefix(resource, own) || resource == own:
			r.mistake(in, "%s, which is not under %s, with {id} for the directory object id: use a path such as %sevents",
				contains, own, own)
		}
		switch {
		case !r.given("ENCRYPTION_CERT_FILE"):
		case strings.Contains(lower, "/todo/"):
			r.mistake(in, "%s, but Graph sends no resource data of tasks: remove it, or unset ENCRYPTION_CERT_FILE", contains)
		case !options.Has("$select") && !slices.Contains(selected, path.Base(lower)):
			r.mistake(in, "%s without $select, but only events, messages and contacts have a default one: "+
				"add ?$select=..., or unset ENCRYPTION_CERT_FILE", contains)
		}
		for _, option := range slices.Sorted(maps.Keys(options)) {
			if option != "$select" && option != "$filter" {
				r.mistake(in, "%s with %s: Graph allows only $select and $filter in a subscription: remove it",
					contains, quote(option))
			}
		}
	}
}

// checkKeyPairs makes sure that two settings name certificates and their private keys, or
// neither does.
func (r *reader) checkKeyPairs(certSetting, keySetting string, certs, keys []string, forGraph bool) {
	const alone = "is not set, but %s is: set both or neither"
	const minBits, maxBits = 2048, 4096 // of an RSA key that Graph accepts
	cert, key := r.input(certSetting), r.input(keySetting)
	r.check(cert.text != "" && key.text == "", keySetting, alone, certSetting)
	r.check(key.text != "" && cert.text == "", certSetting, alone, keySetting)
	r.check(!cert.wrong && len(certs) != len(keys), keySetting,
		"names %d files, but %s names %d: name the same number, in the same order", len(keys), certSetting, len(certs))
	if cert.text == "" || cert.wrong || key.wrong {
		return
	}
	for i := range certs {
		pair, err := tls.LoadX509KeyPair(certs[i], keys[i])
		private, isRSA := pair.PrivateKey.(*rsa.PrivateKey)
		switch {
		case err != nil:
			r.mistake(cert, "and %s name %s and %s, which are not a matching certificate and private key: use PEM files "+
				"with an unencrypted key: openssl pkey decrypts a key, openssl pkcs12 -nodes converts a PKCS#12 file",
				keySetting, quote(certs[i]), quote(keys[i]))
		case forGraph && (!isRSA || private.N.BitLen() < minBits || private.N.BitLen() > maxBits):
			r.mistake(key, "names %s, which is not an RSA key of %d to %d bits: Graph accepts no other",
				quote(keys[i]), minBits, maxBits)
		}
	}
}
