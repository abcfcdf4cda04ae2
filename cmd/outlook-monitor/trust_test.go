package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// encryptionPair writes a certificate and its key and returns their files.
func encryptionPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "notifications"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// accepted returns how many notifications were judged with a verdict.
func (w *surroundings) verdicts(verdict string) string {
	_, text := w.ask(http.MethodGet, "/metrics", "", "")
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == `outlook_monitor_notifications_total{verdict="`+verdict+`"}` {
			return value
		}
	}
	return "0"
}

func TestResourceData(t *testing.T) {
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	c := newCrowd(w, 4)
	p := w.start("serve")
	c.settle()
	c.eventually("each user is covered once", c.coveredOnce)

	// Switched on: every subscription is replaced by one with resource data.
	p.stop()
	w.env["ENCRYPTION_CERT_FILE"], w.env["ENCRYPTION_KEY_FILE"] = encryptionPair(t)
	p = w.start("serve")
	rich := func(certificates int) func() bool {
		return func() bool {
			seen := map[string]bool{}
			for _, sub := range w.sim.Subscriptions() {
				if !sub.IncludeResourceData || time.Until(sub.ExpirationDateTime) > 24*time.Hour {
					return false
				}
				seen[sub.EncryptionCertificateID] = true
			}
			return c.coveredOnce() && len(seen) == certificates
		}
	}
	c.eventually("each subscription has resource data", rich(1))
	w.answers()
	c.change()
	c.settle()
	c.eventually("encrypted notifications are believed", func() bool { return w.verdicts("accepted") >= "2" })
	for _, verdict := range []string{"forged", "bad_token", "bad_signature"} {
		if n := w.verdicts(verdict); n != "0" {
			t.Errorf("%s notifications are %s, want none", n, verdict)
		}
	}

	// Another pair comes first: what was encrypted for the old one still opens.
	p.stop()
	cert, key := encryptionPair(t)
	w.env["ENCRYPTION_CERT_FILE"] = cert + "," + w.env["ENCRYPTION_CERT_FILE"]
	w.env["ENCRYPTION_KEY_FILE"] = key + "," + w.env["ENCRYPTION_KEY_FILE"]
	w.start("serve")
	w.answers()
	for _, sub := range w.sim.Subscriptions()[:1] {
		if err := w.sim.SendLifecycle(sub.ID, graphsim.ReauthorizationRequired); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually("the one that was renewed has the new certificate", rich(2))
	c.change()
	c.settle()
	c.eventually("notifications for both are believed", func() bool { return w.verdicts("accepted") >= "2" })
	for _, verdict := range []string{"forged", "bad_token", "bad_signature", "undecryptable"} {
		if n := w.verdicts(verdict); n != "0" {
			t.Errorf("%s notifications are %s, want none", n, verdict)
		}
	}
}
