package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"outlook-monitor/internal/config"
)

// credential checks that the credential can be read, and when it expires.
func (d *diagnosis) credential(context.Context) Result {
	switch kind := d.cfg.Settings.Graph.Credential; kind {
	case config.ClientSecret:
		return skipped("Graph does not report when a client secret expires: see %s", secretsPage)
	case config.WorkloadIdentity, config.ManagedIdentity:
		return ok("a %s has no secret that expires", kind)
	}
	expires, err := d.cfg.Login.CertificateExpires()
	if err != nil {
		return failed(withoutKind(err), "use PEM with an unencrypted key, or PKCS#12 with AZURE_CLIENT_CERTIFICATE_PASSWORD")
	}
	return expiryResult("the certificate in AZURE_CLIENT_CERTIFICATE_PATH", expires,
		"upload the public part of a new one, then replace the file: "+secretsPage)
}

// certificates checks when the first certificate of the service expires.
func (d *diagnosis) certificates(context.Context) Result {
	type pair struct{ setting, cert, key, remedy string }
	s := d.cfg.Settings
	var pairs []pair
	if s.TLSCertFile != "" {
		pairs = append(pairs, pair{"TLS_CERT_FILE", s.TLSCertFile, s.TLSKeyFile, "renew it; the service re-reads the file"})
	}
	for i, cert := range s.EncryptionCertFiles {
		pairs = append(pairs, pair{"ENCRYPTION_CERT_FILE", cert, s.EncryptionKeyFiles[i],
			"list a renewed pair before it, and remove this one a day later"})
	}
	first, expires := pair{}, time.Time{}
	for _, p := range pairs {
		loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil { // config could read it a moment ago
			return failed(p.setting+" can't be read", "check the file and its permissions")
		}
		if expires.IsZero() || loaded.Leaf.NotAfter.Before(expires) {
			first, expires = p, loaded.Leaf.NotAfter
		}
	}
	switch {
	case !expires.IsZero():
		return expiryResult("the certificate in "+first.setting, expires, first.remedy)
	case len(s.ACMEDomains) > 0:
		return ok("renewed by ACME")
	}
	return ok("no certificate files: TLS is terminated elsewhere")
}

const renewBefore = 30 * 24 * time.Hour

// expiryResult returns the result for something that expires.
func expiryResult(what string, expires time.Time, remedy string) Result {
	switch left := time.Until(expires); {
	case left <= 0:
		return failed(fmt.Sprintf("%s expired %s", what, formatExpiry(expires)), remedy)
	case left < renewBefore:
		return warning(fmt.Sprintf("%s expires %s", what, formatExpiry(expires)), remedy)
	}
	return ok("%s expires %s", what, formatExpiry(expires))
}
