package config

import (
	"crypto/rsa"
	"crypto/tls"
)

// plainPEM says how a certificate and its private key have to be written.
const plainPEM = "write both as PEM, the key unencrypted: openssl pkey decrypts one, openssl pkcs12 -nodes takes a PKCS#12 file apart"

// Bits of an RSA key that Graph takes for resource data.
const leastKey, mostKey = 2048, 4096

// encryption reads the pairs of certificate and private key for resource data.
func (r *reader) encryption(g Graph) (certs, keys []string) {
	certs, keys = r.files("ENCRYPTION_CERT_FILE"), r.files("ENCRYPTION_KEY_FILE")
	if r.mistaken("ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE") {
		return certs, keys
	}
	switch {
	case len(certs) > 0 && len(keys) == 0:
		r.wrong("ENCRYPTION_KEY_FILE", "is not set, but ENCRYPTION_CERT_FILE is: set both or none")
		return certs, keys
	case len(certs) == 0 && len(keys) > 0:
		r.wrong("ENCRYPTION_CERT_FILE", "is not set, but ENCRYPTION_KEY_FILE is: set both or none")
		return certs, keys
	case len(certs) != len(keys):
		r.wrong("ENCRYPTION_KEY_FILE", "names %d files, but ENCRYPTION_CERT_FILE %d: name as many, in the same order", len(keys), len(certs))
		return certs, keys
	}
	for i := range certs {
		r.encryptionPair(certs[i], keys[i])
	}
	if len(certs) > 0 {
		r.tokenNames(g)
	}
	return certs, keys
}

func (r *reader) encryptionPair(cert, key string) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		r.wrong("ENCRYPTION_CERT_FILE", "and ENCRYPTION_KEY_FILE hold in %s and %s no certificate and private key that fit together: "+
			plainPEM, shown(cert), shown(key))
		return
	}
	private, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() < leastKey || private.N.BitLen() > mostKey {
		r.wrong("ENCRYPTION_KEY_FILE", "names %s, which is no RSA key of %d to %d bits: Graph takes no other", shown(key), leastKey, mostKey)
	}
}

// tokenNames makes sure that validation tokens, which come with resource data,
// can be checked. Only a managed identity may leave these names out.
func (r *reader) tokenNames(g Graph) {
	for _, id := range []setting{{"AZURE_TENANT_ID", g.TenantID}, {"AZURE_CLIENT_ID", g.ClientID}} {
		if id.text == "" && !r.mistaken(id.name) {
			r.wrong(id.name, "is not set, but ENCRYPTION_CERT_FILE is: the tokens that come with resource data are checked against it")
		}
	}
}
