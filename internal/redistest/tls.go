package redistest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
)

// StartTLS is like [Start], but the server accepts only TLS. certFile holds its self-signed
// certificate for 127.0.0.1 (for SSL_CERT_FILE). Clients need no certificate.
func StartTLS(t testing.TB, options ...string) (s *Server, certFile string) {
	t.Helper()
	certFile, keyFile := certtest.Files(t, certtest.Key(t), "127.0.0.1", time.Now().Add(24*time.Hour))
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(pem)
	directives := append([]string{
		"tls-cert-file " + certFile, "tls-key-file " + keyFile, "tls-ca-cert-file " + certFile, "tls-auth-clients no",
	}, options...)
	return launch(t, Server{tls: &tls.Config{RootCAs: roots}}, withDefaults(directives)), certFile
}
