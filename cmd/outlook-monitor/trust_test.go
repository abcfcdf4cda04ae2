package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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

var verdict = regexp.MustCompile(`(?m)^outlook_monitor_notifications_total\{verdict="(.*)"\} (\d+)$`)

// verdicts counts the notifications by how they were judged.
func (w *surroundings) verdicts() map[string]int {
	w.t.Helper()
	all := map[string]int{}
	_, metrics := w.get("/metrics")
	for _, found := range verdict.FindAllStringSubmatch(metrics, -1) {
		n, err := strconv.Atoi(found[2])
		if err != nil {
			w.t.Fatal(err)
		}
		all[found[1]] = n
	}
	return all
}

func TestResourceData(t *testing.T) {
	t.Parallel()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	c := newCrowd(w, 4)
	p := c.begin()

	noneIs := func(verdicts ...string) {
		t.Helper()
		for _, verdict := range verdicts {
			if n := w.verdicts()[verdict]; n != 0 {
				t.Errorf("%d notifications are %s, want none", n, verdict)
			}
		}
	}

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
	c.eventually("encrypted notifications are believed", func() bool { return w.verdicts()["accepted"] >= 2 })
	noneIs("forged", "bad_token", "bad_signature")

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
	c.eventually("notifications for both are believed", func() bool { return w.verdicts()["accepted"] >= 2 })
	noneIs("forged", "bad_token", "bad_signature", "undecryptable")
}
