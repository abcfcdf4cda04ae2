package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// StartTLS is [Start] for a server that speaks TLS only. Its certificate, for
// 127.0.0.1 and localhost, is of an authority made for this test, whose own is
// in caFile (for SSL_CERT_FILE). Clients need none.
func StartTLS(t testing.TB, options ...string) (s *Server, caFile string) {
	t.Helper()
	dir := t.TempDir()
	authority := newAuthority(t)
	certificate, key := authority.issue(t)
	files := map[string][]byte{
		"ca.pem":   encode("CERTIFICATE", authority.cert.Raw),
		"cert.pem": encode("CERTIFICATE", certificate),
		"key.pem":  encode("PRIVATE KEY", key),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	caFile = filepath.Join(dir, "ca.pem")
	roots := x509.NewCertPool()
	roots.AddCert(authority.cert)
	return launch(t, Server{tls: &tls.Config{RootCAs: roots}}, append([]string{
		"tls-cert-file " + filepath.Join(dir, "cert.pem"), "tls-key-file " + filepath.Join(dir, "key.pem"),
		"tls-ca-cert-file " + caFile, "tls-auth-clients no",
		"appendonly yes", "appendfsync always", `save ""`,
	}, options...)), caFile
}

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key := newKey(t)
	template := valid(x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// issue returns the certificate of a server and its private key, as DER.
func (a authority) issue(t testing.TB) (certificate, private []byte) {
	t.Helper()
	key := newKey(t)
	template := valid(x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redistest"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	certificate, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err = x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, private
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// valid makes a certificate valid for a day.
func valid(c x509.Certificate) *x509.Certificate {
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	return &c
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
