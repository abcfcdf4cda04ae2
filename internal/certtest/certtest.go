// Package certtest makes self-signed certificates for tests, and clients that trust them.
package certtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
)

// Key returns a new ECDSA key.
func Key(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must.NoError(t, err)
	return key
}

// SelfSigned returns a certificate for a host name or an IP address, which may be empty,
// and its key, both as PEM. Clients that trust the certificate accept it.
func SelfSigned(t testing.TB, key crypto.Signer, host string, from, until time.Time) (certificate, private []byte) {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "test authority"}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if host != "" {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	must.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// Files writes a certificate that became valid long ago and its key, see [SelfSigned],
// and returns the paths.
func Files(t testing.TB, key crypto.Signer, host string, until time.Time) (certFile, keyFile string) {
	t.Helper()
	certificate, private := SelfSigned(t, key, host, time.Now().AddDate(-1, 0, 0), until)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	filetest.Write(t, certFile, string(certificate))
	filetest.Write(t, keyFile, string(private))
	return certFile, keyFile
}

// Client returns an HTTP client that trusts only an authority, as PEM.
func Client(t testing.TB, authority string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(authority)) {
		t.Fatalf("authority = %q, want a certificate", authority)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections) // otherwise stopping a server waits a second for each
	return &http.Client{Transport: transport, Timeout: time.Minute}
}
