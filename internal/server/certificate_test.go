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
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
)

// writePair writes a new certificate and its key and returns the serial number.
func writePair(t *testing.T, certFile, keyFile string) *big.Int {
	t.Helper()
	certificate, key := certtest.SelfSigned(t, certtest.Key(t), domain, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	write(t, certFile, certificate)
	write(t, keyFile, key)
	block, _ := pem.Decode(certificate)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.SerialNumber
}

// files is a certificate in files.
type files struct {
	*server.Certificate
	certFile, keyFile string
	serial            *big.Int
	log               *programtest.Output
}

func newFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	f := files{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	f.serial = writePair(t, f.certFile, f.keyFile)
	var log *slog.Logger
	log, f.log = logger()
	var err error
	f.Certificate, err = server.NewCertificate(server.CertificateConfig{CertFile: f.certFile, KeyFile: f.keyFile, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestChangedFilesAreReloaded(t *testing.T) {
	f := newFiles(t)
	ln := loopback(t)
	serving(t, ln, f.TLS())
	serves := func(serial *big.Int) bool {
		got, err := servedCertificate(t, ln.Addr().String(), domain)
		if err != nil {
			t.Fatalf("handshake: %v", err)
		}
		return got.SerialNumber.Cmp(serial) == 0
	}
	if !serves(f.serial) {
		t.Error("the first certificate is not served")
	}

	write(t, f.keyFile, []byte("no key"))
	await.True(t, "the unusable change is logged", func() bool {
		if !serves(f.serial) {
			t.Fatal("the old certificate is no longer served")
		}
		return strings.Contains(f.log.String(), "keeping the old one")
	})

	second := writePair(t, f.certFile, f.keyFile)
	await.True(t, "the new certificate is served", func() bool { return serves(second) })
}

func TestUnusableFiles(t *testing.T) {
	f, other := newFiles(t), newFiles(t)
	for name, pair := range map[string][2]string{
		"no such file":       {f.certFile, f.keyFile + "x"},
		"key of another":     {f.certFile, other.keyFile},
		"files interchanged": {f.keyFile, f.certFile},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := server.NewCertificate(server.CertificateConfig{CertFile: pair[0], KeyFile: pair[1], Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), pair[0]) || !strings.Contains(err.Error(), pair[1]) {
				t.Errorf("NewCertificate = %v, want an error that names both files", err)
			}
		})
	}
}

func TestTLSVersions(t *testing.T) {
	storage := newStorage()
	storage.add(t, domain, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	acme := newACME(t, server.ACMEConfig{Storage: storage})
	await.Run(t, acme.Run)
	for source, cfg := range map[string]*tls.Config{"files": newFiles(t).TLS(), "ACME": acme.TLS()} {
		ln := loopback(t)
		serving(t, ln, cfg)
		for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			dialer := tls.Dialer{Config: &tls.Config{ServerName: domain, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}}
			conn, err := dialer.DialContext(t.Context(), "tcp", ln.Addr().String())
			if (err == nil) != want {
				t.Errorf("%s: handshake with %s = %v, want success: %t", source, tls.VersionName(version), err, want)
			}
			if err == nil {
				conn.Close()
			}
		}
	}
}

func TestStrictTransportSecurity(t *testing.T) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for scheme, tt := range map[string]struct {
		cfg  *tls.Config
		want string
	}{"https": {newFiles(t).TLS(), "max-age=31536000"}, "http": {nil, ""}} {
		ln := loopback(t)
		serving(t, ln, tt.cfg)
		response, err := (&http.Client{Transport: transport}).Get(scheme + "://" + ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Strict-Transport-Security"); got != tt.want {
			t.Errorf("Strict-Transport-Security over %s = %q, want %q", scheme, got, tt.want)
		}
	}
}
