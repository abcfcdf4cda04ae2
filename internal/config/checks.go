package config

import (
	"cmp"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"
)

// checkGraph chooses the credential and checks what it needs.
func (r *reader) checkGraph() {
	g := &r.settings.Graph
	managed := r.env("IDENTITY_ENDPOINT") != "" || r.env("MSI_ENDPOINT") != ""
	if r.flags["AZURE_MANAGED_IDENTITY"] != "" || r.env("AZURE_MANAGED_IDENTITY") != "" {
		managed = g.ManagedIdentity
	}
	switch {
	case !g.ClientSecret.IsZero():
		g.Credential = ClientSecret
	case g.CertificatePath != "":
		g.Credential = Certificate
	case g.FederatedTokenFile != "":
		g.Credential = WorkloadIdentity
	case managed:
		g.Credential = ManagedIdentity
	case r.mistakes.Has("AZURE_CLIENT_SECRET"):
	default:
		r.mistake("AZURE_CLIENT_SECRET", "is not set: set it to the client secret, or set AZURE_CLIENT_CERTIFICATE_PATH, "+
			"AZURE_FEDERATED_TOKEN_FILE or AZURE_MANAGED_IDENTITY=true instead")
	}
	if g.Credential == ManagedIdentity && len(r.settings.EncryptionCertFiles) == 0 {
		return
	}
	const missing = "is not set: set it to the %s id of the app registration, which is also used to check the tokens of resource data"
	if g.TenantID == "" {
		r.mistake("AZURE_TENANT_ID", missing, "directory (tenant)")
	}
	if g.ClientID == "" {
		r.mistake("AZURE_CLIENT_ID", missing, "application (client)")
	}
}

func (r *reader) checkMediator() {
	const example = "http://mediator.example.com:5000"
	switch {
	case !r.settings.MediatorURL.IsZero() || r.mistakes.Has("MEDIATOR_URL", "MEDIATOR_IP", "MEDIATOR_PORT"):
	case r.env("MEDIATOR_PORT") != "":
		r.mistake("MEDIATOR_IP", "is not set, but MEDIATOR_PORT is: set MEDIATOR_URL instead of both, such as %s", example)
	default:
		r.mistake("MEDIATOR_URL", "is not set: set it to the base URL of the mediator, such as %s", example)
	}
}

// checkRedis makes sure that an Entra token is sent only over TLS, and without other credentials.
func (r *reader) checkRedis() {
	if !r.settings.RedisEntra || r.mistakes.Has("REDIS_URL") {
		return
	}
	u := r.settings.RedisURL.URL()
	query := u.Query()
	switch {
	case u.Scheme != "rediss":
		r.mistake("REDIS_AUTH", "is entra, which needs TLS: set REDIS_URL to a URL such as rediss://NAME.REGION.redis.azure.net:10000")
	case query.Has("master_name"):
		r.mistake("REDIS_AUTH", "is entra, which does not work with Sentinel: remove master_name from REDIS_URL, or set REDIS_AUTH=url")
	case u.User != nil || query.Has("username") || query.Has("password"):
		r.mistake("REDIS_AUTH", "is entra, but REDIS_URL has a user or password too: remove them from REDIS_URL, or set REDIS_AUTH=url")
	}
}

const minTokenLength = 16 // characters

// checkListen makes sure that the private routes are not open to other machines unless
// that is intended.
func (r *reader) checkListen() {
	l := &r.settings
	private := l.PrivateAddr
	if private != "" && overlap(private, l.ListenAddr) {
		r.mistake("PRIVATE_ADDR", "overlaps LISTEN_ADDR or PORT: use another port, or unset it to serve everything there")
	}
	if private == "" && !r.mistakes.Has("PRIVATE_ADDR") {
		private = l.ListenAddr
	}
	host, _, _ := net.SplitHostPort(private)
	private = cmp.Or(private, "the service") // its address is a mistake, so it may be any
	switch length := utf8.RuneCountInString(l.MonitorToken.Reveal()); {
	case loopback(host) || r.mistakes.Has("MONITOR_TOKEN"):
	case length == 0 && !l.AllowAnonymous:
		r.mistake("MONITOR_TOKEN", "is not set, and %s can be reached from other machines: set a long random token, "+
			"listen on 127.0.0.1, or set ALLOW_ANONYMOUS=true", private)
	case length > 0 && length < minTokenLength:
		r.mistake("MONITOR_TOKEN", "has %d characters, and %s can be reached from other machines: use at least %d, "+
			"as printed by openssl rand -hex 32", length, private, minTokenLength)
	}
	if r.bothSet("TLS_CERT_FILE", "TLS_KEY_FILE", l.TLSCertFile != "", l.TLSKeyFile != "") {
		if _, err := tls.LoadX509KeyPair(l.TLSCertFile, l.TLSKeyFile); err != nil {
			r.mistake("TLS_CERT_FILE", "and TLS_KEY_FILE are not a matching certificate and private key: "+pemRemedy)
		}
	}
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

const pemRemedy = "use PEM files with an unencrypted key: openssl pkey decrypts a key, openssl pkcs12 -nodes converts a PKCS#12 file"

// bothSet reports whether two settings are both set and valid. Only one of them is a mistake.
func (r *reader) bothSet(one, other string, hasOne, hasOther bool) bool {
	switch {
	case hasOne && !hasOther && !r.mistakes.Has(other):
		r.mistake(other, "is not set, but %s is: set both or neither", one)
	case !hasOne && hasOther && !r.mistakes.Has(one):
		r.mistake(one, "is not set, but %s is: set both or neither", other)
	}
	return hasOne && hasOther && !r.mistakes.Has(one, other)
}

func (r *reader) checkPublic() {
	s := &r.settings
	if i := slices.IndexFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Bits() == 0 }); i >= 0 {
		r.mistake("TRUSTED_PROXIES", "contains %s, which lets every caller choose its source address: list only the addresses of the proxies",
			s.TrustedProxies[i])
	}
	if s.ACMECAFile != "" && !r.mistakes.Has("ACME_CA_FILE") {
		text, err := os.ReadFile(s.ACMECAFile)
		if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
			r.mistake("ACME_CA_FILE", "names %s, which contains no certificate: use a PEM file", quote(s.ACMECAFile))
		}
	}
	if len(s.ACMEDomains) == 0 || r.mistakes.Has("ACME_DOMAINS") {
		return
	}
	switch host := strings.ToLower(s.PublicURL.URL().Hostname()); {
	case s.TLSCertFile != "" || s.TLSKeyFile != "":
		r.mistake("ACME_DOMAINS", "and TLS_CERT_FILE are both set, but only one can provide the certificate: unset one of them")
	case host != "" && !slices.Contains(s.ACMEDomains, host):
		r.mistake("ACME_DOMAINS", "does not include %s, the host of PUBLIC_URL, so Graph would get no certificate: add it", quote(host))
	}
}

// checkTunnel makes sure that a tunnel does not expose private routes without a token, even
// if the listener is on loopback.
func (r *reader) checkTunnel() {
	s, t := r.settings, r.settings.Tunnel
	if !t.Used() {
		return
	}
	if !s.PublicURL.IsZero() {
		r.mistake("TUNNEL", "is %s and PUBLIC_URL is set too, but the tunnel's URL is used as PUBLIC_URL: unset one of them", t.Kind)
	}
	if t.Kind == NgrokTunnel && t.NgrokToken.IsZero() && !r.mistakes.Has("NGROK_AUTHTOKEN") {
		r.mistake("NGROK_AUTHTOKEN", "is not set, but TUNNEL is ngrok: copy it from https://dashboard.ngrok.com/get-started/your-authtoken")
	}
	exposed := t.ExposeAll || t.Kind == AgentTunnel
	switch length := utf8.RuneCountInString(s.MonitorToken.Reveal()); {
	case s.PrivateAddr != "" || r.mistakes.Has("MONITOR_TOKEN"):
	case exposed && length == 0 && !s.AllowAnonymous:
		r.mistake("MONITOR_TOKEN", "is not set, and the tunnel exposes %s to the internet: set a long random token, or set PRIVATE_ADDR",
			s.ListenAddr)
	case t.ExposeAll && length > 0 && length < minTokenLength:
		r.mistake("MONITOR_TOKEN", "has %d characters, and TUNNEL_EXPOSE is all, which lets the internet guess it: use at least %d, "+
			"as printed by openssl rand -hex 32", length, minTokenLength)
	}
}

// defaultSelect matches the path of a resource for which internal/subscribe selects properties.
var defaultSelect = regexp.MustCompile(`(?i)/(events|messages|contacts)$`)

// checkResources makes sure that Graph sends data of all resources if it is requested.
func (r *reader) checkResources() {
	if len(r.settings.EncryptionCertFiles) == 0 {
		return
	}
	for _, resource := range r.settings.Resources {
		path, _, _ := strings.Cut(resource, "?")
		switch contains := "contains " + quote(resource); {
		case defaultSelect.MatchString(path):
		case strings.Contains(strings.ToLower(path), "/todo/"):
			r.mistake("SUBSCRIPTION_RESOURCES", "%s, but Graph sends no resource data of tasks: remove it, or unset ENCRYPTION_CERT_FILE", contains)
		case !slices.Contains(queryOptions(resource), "$select"):
			r.mistake("SUBSCRIPTION_RESOURCES", "%s without $select, but only events, messages and contacts have a default one: "+
				"add ?$select=..., or unset ENCRYPTION_CERT_FILE", contains)
		}
	}
}

// checkEncryption checks the certificates and private keys for resource data.
func (r *reader) checkEncryption() {
	const minBits, maxBits = 2048, 4096 // of an RSA key that Graph accepts
	certs, keys := r.settings.EncryptionCertFiles, r.settings.EncryptionKeyFiles
	if !r.bothSet("ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE", len(certs) > 0, len(keys) > 0) {
		return
	}
	if len(certs) != len(keys) {
		r.mistake("ENCRYPTION_KEY_FILE", "names %d files, but ENCRYPTION_CERT_FILE names %d: name the same number, in the same order",
			len(keys), len(certs))
		return
	}
	for i, cert := range certs {
		pair, err := tls.LoadX509KeyPair(cert, keys[i])
		if err != nil {
			r.mistake("ENCRYPTION_CERT_FILE", "and ENCRYPTION_KEY_FILE name %s and %s, which are not a matching certificate and private key: "+
				pemRemedy, quote(cert), quote(keys[i]))
			continue
		}
		private, ok := pair.PrivateKey.(*rsa.PrivateKey)
		if !ok || private.N.BitLen() < minBits || private.N.BitLen() > maxBits {
			r.mistake("ENCRYPTION_KEY_FILE", "names %s, which is not an RSA key of %d to %d bits: Graph accepts no other",
				quote(keys[i]), minBits, maxBits)
		}
	}
}
