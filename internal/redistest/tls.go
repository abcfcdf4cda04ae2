package redistest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// StartTLS is like [Start], but the server accepts only TLS. certFile holds its self-signed
// certificate for 127.0.0.1 (for SSL_CERT_FILE). Clients need no certificate.
func StartTLS(t testing.TB, options ...string) (s *Server, certFile string) {
	t.Helper()
	pair, certFile, keyFile := certificate(t)
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	directives := append([]string{
		"tls-cert-file " + certFile, "tls-key-file " + keyFile, "tls-ca-cert-file " + certFile, "tls-auth-clients no",
	}, options...)
	return launch(t, Server{tls: &tls.Config{RootCAs: roots}}, withDefaults(directives)), certFile
}

// certificate returns the certificate of package httptest and writes it to files.
func certificate(t testing.TB) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair = server.TLS.Certificates[0]
	pair.Leaf = server.Certificate()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: pair.Leaf.Raw}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pair, certFile, keyFile
}
