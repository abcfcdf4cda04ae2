package certs_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/certs"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

func TestChangedFilesAreReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := programtest.Logger()
		certFile, keyFile := certtest.Files(t, certtest.Key(t), domain, time.Now().Add(time.Hour))
		c, err := certs.NewFiles(certs.FilesConfig{CertFile: certFile, KeyFile: keyFile, Log: log})
		must.NoError(t, err)
		serial := func() string {
			time.Sleep(time.Second) // the files are read once a second
			certificate, err := c.TLS().GetCertificate(nil)
			must.NoError(t, err)
			return certificate.Leaf.SerialNumber.String()
		}
		first := serial()
		filetest.Write(t, keyFile, "no key")
		for range 3 {
			if got := serial(); got != first || strings.Count(out.String(), "keeping the old one") != 1 || strings.Contains(out.String(), "no key") {
				t.Errorf("certificate %s is served, want %s, and one warning without the content of the file; log:\n%s", got, first, out)
			}
		}
		certificate, key := certtest.SelfSigned(t, certtest.Key(t), domain, time.Now(), time.Now().Add(time.Hour))
		filetest.Write(t, certFile, string(certificate))
		filetest.Write(t, keyFile, string(key))
		if serial() == first {
			t.Error("the old certificate is served, want the new one")
		}
		certificate, key = certtest.SelfSigned(t, certtest.Key(t), domain, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
		filetest.Write(t, certFile, string(certificate))
		filetest.Write(t, keyFile, string(key))
		if serial(); strings.Count(out.String(), "certificate has expired") != 1 {
			t.Errorf("log = %s, want a warning that the certificate has expired", out)
		}
	})
}
