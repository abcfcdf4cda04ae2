package config

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// checkGraph finds the credential and what it needs.
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
	case r.mistaken("AZURE_CLIENT_SECRET"):
	default:
		r.wrong("AZURE_CLIENT_SECRET", "is not set: write the client secret, or set AZURE_CLIENT_CERTIFICATE_PATH, "+
			"AZURE_FEDERATED_TOKEN_FILE or AZURE_MANAGED_IDENTITY=true instead")
	}
	if g.Credential == ManagedIdentity && len(r.settings.EncryptionCertFiles) == 0 {
		return
	}
	const what = "is not set: write the %s id of the app registration, against which tokens with resource data are checked too"
	if g.TenantID == "" {
		r.wrong("AZURE_TENANT_ID", what, "directory (tenant)")
	}
	if g.ClientID == "" {
		r.wrong("AZURE_CLIENT_ID", what, "application (client)")
	}
}

func (r *reader) checkMediator() {
	const example = "http://mediator.example.com:5000"
	switch {
	case !r.settings.MediatorURL.IsZero() || r.mistaken("MEDIATOR_URL", "MEDIATOR_IP", "MEDIATOR_PORT"):
	case r.env("MEDIATOR_PORT") != "":
		r.wrong("MEDIATOR_IP", "is not set, but MEDIATOR_PORT is: set MEDIATOR_URL instead of both, such as %s", example)
	default:
		r.wrong("MEDIATOR_URL", "is not set: write the base URL of the mediator, such as %s", example)
	}
}

// checkRedis makes sure that a token is sent over TLS alone, and nothing beside it.
func (r *reader) checkRedis() {
	u, err := r.settings.RedisURL.Parse()
	if !r.settings.RedisEntra || r.mistaken("REDIS_URL") || err != nil {
		return
	}
	query := u.Query()
	switch {
	case u.Scheme != "rediss":
		r.wrong("REDIS_AUTH", "is entra, which needs TLS: write REDIS_URL as rediss://NAME.REGION.redis.azure.net:10000")
	case query.Has("master_name"):
		r.wrong("REDIS_AUTH", "is entra, which does not work with Sentinel: take master_name out of REDIS_URL, or set REDIS_AUTH=url")
	case u.User != nil || query.Has("username") || query.Has("password"):
		r.wrong("REDIS_AUTH", "is entra, but REDIS_URL has a user or password too: take them out of REDIS_URL, or set REDIS_AUTH=url")
	}
}

// checkListen refuses to leave the private routes open to whoever finds them.
func (r *reader) checkListen() {
	const leastToken = 16
	l := &r.settings
	private := l.PrivateAddr
	if _, port, _ := net.SplitHostPort(private); private != "" && private == l.ListenAddr && port != "0" {
		r.wrong("PRIVATE_ADDR", "is the same as LISTEN_ADDR or PORT: write another port, or leave it out to serve everything there")
	}
	if private == "" && !r.mistaken("PRIVATE_ADDR") {
		private = l.ListenAddr
	}
	host, _, err := net.SplitHostPort(private)
	switch length := len(l.MonitorToken.Reveal()); {
	case err != nil || loopback(host) || r.mistaken("MONITOR_TOKEN"):
	case length == 0 && !l.AllowAnonymous:
		r.wrong("MONITOR_TOKEN", "is not set, and %s can be reached from other machines: write a long random token, "+
			"listen on 127.0.0.1, or set ALLOW_ANONYMOUS=true", private)
	case length > 0 && length < leastToken:
		r.wrong("MONITOR_TOKEN", "has %d characters, and %s can be reached from other machines: write at least %d, "+
			"such as openssl rand -hex 32 prints", length, private, leastToken)
	}
	if r.paired("TLS_CERT_FILE", "TLS_KEY_FILE", l.TLSCertFile != "", l.TLSKeyFile != "") {
		if _, err := tls.LoadX509KeyPair(l.TLSCertFile, l.TLSKeyFile); err != nil {
			r.wrong("TLS_CERT_FILE", "and TLS_KEY_FILE hold no certificate and private key that fit together: "+plainPEM)
		}
	}
}

// plainPEM says how a certificate and its private key have to be written.
const plainPEM = "write both as PEM, the key unencrypted: openssl pkey decrypts one, openssl pkcs12 -nodes takes a PKCS#12 file apart"

// paired reports whether both of two settings are there and right. One alone is a mistake.
func (r *reader) paired(one, other string, hasOne, hasOther bool) bool {
	switch {
	case hasOne && !hasOther && !r.mistaken(other):
		r.wrong(other, "is not set, but %s is: set both or none", one)
	case !hasOne && hasOther && !r.mistaken(one):
		r.wrong(one, "is not set, but %s is: set both or none", other)
	}
	return hasOne && hasOther && !r.mistaken(one, other)
}

func (r *reader) checkFront() {
	f := &r.settings
	if i := slices.IndexFunc(f.TrustedProxies, func(p netip.Prefix) bool { return p.Bits() == 0 }); i >= 0 {
		r.wrong("TRUSTED_PROXIES", "has %s, with which every caller could say where it comes from: write the addresses of the proxies alone",
			f.TrustedProxies[i])
	}
	if f.ACMECAFile != "" && !r.mistaken("ACME_CA_FILE") {
		text, err := os.ReadFile(f.ACMECAFile)
		if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
			r.wrong("ACME_CA_FILE", "names %s, which holds no certificate: write it as PEM", shown(f.ACMECAFile))
		}
	}
	public, err := f.PublicURL.Parse()
	if err != nil || len(f.ACMEDomains) == 0 || r.mistaken("ACME_DOMAINS") {
		return
	}
	switch host := strings.ToLower(public.Hostname()); {
	case r.settings.TLSCertFile != "" || r.settings.TLSKeyFile != "":
		r.wrong("ACME_DOMAINS", "and TLS_CERT_FILE are both set, but the certificate can come from one place only: set either")
	case host != "" && !slices.Contains(f.ACMEDomains, host):
		r.wrong("ACME_DOMAINS", "lacks %s, the host of PUBLIC_URL, so that Graph would be shown no certificate: add it", shown(host))
	}
}

// checkTunnel makes sure that what it opens is guarded, even if the listener is on loopback.
func (r *reader) checkTunnel() {
	s, t := r.settings, r.settings.Tunnel
	if t.Kind != NgrokTunnel && t.Kind != AgentTunnel {
		return
	}
	if !s.PublicURL.IsZero() {
		r.wrong("TUNNEL", "is %s and PUBLIC_URL is set too, but the tunnel's URL is used as PUBLIC_URL: set either", t.Kind)
	}
	if t.Kind == NgrokTunnel && t.NgrokToken.IsZero() && !r.mistaken("NGROK_AUTHTOKEN") {
		r.wrong("NGROK_AUTHTOKEN", "is not set, but TUNNEL is ngrok: copy it from https://dashboard.ngrok.com/get-started/your-authtoken")
	}
	open := t.ExposeAll || t.Kind == AgentTunnel
	if open && s.PrivateAddr == "" && s.MonitorToken.IsZero() && !s.AllowAnonymous && !r.mistaken("MONITOR_TOKEN") {
		r.wrong("MONITOR_TOKEN", "is not set, and the tunnel leads from the internet to %s: write a long random token, or set PRIVATE_ADDR",
			s.ListenAddr)
	}
}

// checkEncryption checks the pairs of certificate and private key for resource data.
func (r *reader) checkEncryption() {
	const leastKey, mostKey = 2048, 4096 // bits of an RSA key that Graph takes
	certs, keys := r.settings.EncryptionCertFiles, r.settings.EncryptionKeyFiles
	if !r.paired("ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE", len(certs) > 0, len(keys) > 0) {
		return
	}
	if len(certs) != len(keys) {
		r.wrong("ENCRYPTION_KEY_FILE", "names %d files, but ENCRYPTION_CERT_FILE %d: name as many, in the same order", len(keys), len(certs))
		return
	}
	for i, cert := range certs {
		pair, err := tls.LoadX509KeyPair(cert, keys[i])
		if err != nil {
			r.wrong("ENCRYPTION_CERT_FILE", "and ENCRYPTION_KEY_FILE hold in %s and %s no certificate and private key that fit together: "+
				plainPEM, shown(cert), shown(keys[i]))
			continue
		}
		private, ok := pair.PrivateKey.(*rsa.PrivateKey)
		if !ok || private.N.BitLen() < leastKey || private.N.BitLen() > mostKey {
			r.wrong("ENCRYPTION_KEY_FILE", "names %s, which is no RSA key of %d to %d bits: Graph takes no other",
				shown(keys[i]), leastKey, mostKey)
		}
	}
}
