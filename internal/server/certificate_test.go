package server_test

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/server"
)

// filesTLS returns the configuration of a listener with a certificate in files.
func filesTLS(t *testing.T) *tls.Config {
	t.Helper()
	certFile, keyFile := certtest.Files(t, certtest.Key(t), domain, time.Now().Add(time.Hour))
	c, err := server.NewCertificate(server.CertificateConfig{CertFile: certFile, KeyFile: keyFile, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c.TLS()
}

func TestChangedFilesAreReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logger()
		certFile, keyFile := certtest.Files(t, certtest.Key(t), domain, time.Now().Add(time.Hour))
		c, err := server.NewCertificate(server.CertificateConfig{CertFile: certFile, KeyFile: keyFile, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		serial := func() string {
			time.Sleep(time.Second) // the files are checked once a second
			certificate, err := c.TLS().GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return certificate.Leaf.SerialNumber.String()
		}
		first := serial()
		write(t, keyFile, []byte("no key"))
		if got := serial(); got != first || strings.Count(out.String(), "keeping the old one") != 1 {
			t.Errorf("certificate %s is served, want %s; log:\n%s", got, first, out)
		}
		certificate, key := certtest.SelfSigned(t, certtest.Key(t), domain, time.Now(), time.Now().Add(time.Hour))
		write(t, certFile, certificate)
		write(t, keyFile, key)
		if serial() == first {
			t.Error("the old certificate is served, want the new one")
		}
	})
}

func TestTLSVersions(t *testing.T) {
	acme := newACME(t, server.ACMEConfig{Storage: newStorage(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))})
	await.Run(t, acme.Run)
	for source, cfg := range map[string]*tls.Config{"files": filesTLS(t), "ACME": acme.TLS()} {
		ln := loopback(t)
		serving(t, ln, hello, cfg)
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
