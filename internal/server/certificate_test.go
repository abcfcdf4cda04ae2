package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/server"
)

// pair writes a fresh certificate and its key and returns its serial number.
func pair(t *testing.T, certFile, keyFile string) *big.Int {
	t.Helper()
	certificate, key := signed(t, template("monitor.contoso.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	write(t, certFile, certificate)
	write(t, keyFile, key)
	block, _ := pem.Decode(certificate)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.SerialNumber
}

func TestChangedFilesAreReadAgain(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	first := pair(t, certFile, keyFile)
	log, told := logger()
	c, err := server.NewCertificate(server.CertificateConfig{Setting: "TLS", CertFile: certFile, KeyFile: keyFile, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ln := loopback(t)
	serving(t, ln, c.TLS())
	is := func(serial *big.Int) bool {
		got, err := shown(t, ln.Addr().String(), "monitor.contoso.example")
		if err != nil {
			t.Fatalf("handshake: %v", err)
		}
		return got.SerialNumber.Cmp(serial) == 0
	}
	if !is(first) {
		t.Error("the first certificate is not shown")
	}

	write(t, keyFile, []byte("no key"))
	await.True(t, "the bad change is told", func() bool {
		if !is(first) {
			t.Fatal("the old certificate was given up for a bad one")
		}
		return strings.Contains(told.String(), "keeping the old one")
	})

	second := pair(t, certFile, keyFile)
	await.True(t, "the new certificate is shown", func() bool { return is(second) })
}

func TestFilesThatDoNotFitAreRefused(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	pair(t, filepath.Join(dir, "unused.pem"), other)
	pair(t, certFile, keyFile)
	for name, files := range map[string][2]string{
		"no such file":  {certFile, filepath.Join(dir, "none.pem")},
		"another's key": {certFile, other},
		"the wrong way": {keyFile, certFile},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := server.NewCertificate(server.CertificateConfig{Setting: "TLS", CertFile: files[0], KeyFile: files[1], Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), "TLS_CERT_FILE") {
				t.Errorf("NewCertificate = %v, want an error that names TLS_CERT_FILE", err)
			}
		})
	}
}

func TestVersionsOfTLS(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	pair(t, certFile, keyFile)
	files, err := server.NewCertificate(server.CertificateConfig{Setting: "TLS", CertFile: certFile, KeyFile: keyFile, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	kept := newStorage()
	kept.keep(t, domain, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	acme := newACME(t, server.ACMEConfig{Storage: kept})
	await.Run(t, acme.Run)
	for from, cfg := range map[string]*tls.Config{"from files": files.TLS(), "from an ACME server": acme.TLS()} {
		ln := loopback(t)
		serving(t, ln, cfg)
		for name, tt := range map[string]struct {
			version uint16
			ok      bool
		}{
			"TLS 1.0 is refused": {tls.VersionTLS10, false},
			"TLS 1.1 is refused": {tls.VersionTLS11, false},
			"TLS 1.2 is spoken":  {tls.VersionTLS12, true},
			"TLS 1.3 is spoken":  {tls.VersionTLS13, true},
		} {
			t.Run(from+": "+name, func(t *testing.T) {
				dialer := tls.Dialer{Config: &tls.Config{
					ServerName: domain, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tt.version,
				}}
				conn, err := dialer.DialContext(t.Context(), "tcp", ln.Addr().String())
				if (err == nil) != tt.ok {
					t.Fatalf("handshake = %v, want ok %t", err, tt.ok)
				}
				if tt.ok {
					if got := conn.(*tls.Conn).ConnectionState().Version; got != tt.version {
						t.Errorf("version = %x, want %x", got, tt.version)
					}
					conn.Close()
				}
			})
		}
	}
}

// TestTLSIsToBeKept looks at what browsers hear.
func TestTLSIsToBeKept(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	pair(t, certFile, keyFile)
	c, err := server.NewCertificate(server.CertificateConfig{Setting: "TLS", CertFile: certFile, KeyFile: keyFile, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for scheme, want := range map[string]bool{"https": true, "http": false} {
		ln := loopback(t)
		cfg := c.TLS()
		if !want {
			cfg = nil
		}
		serving(t, ln, cfg)
		response, err := (&http.Client{Transport: transport}).Get(scheme + "://" + ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Strict-Transport-Security"); (got == "max-age=31536000") != want || !want && got != "" {
			t.Errorf("Strict-Transport-Security over %s = %q, want it there: %t", scheme, got, want)
		}
	}
}
