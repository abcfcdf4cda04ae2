package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"regexp"
	"strconv"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

// encryptionPair writes a certificate and its key to files.
func encryptionPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return certtest.Files(t, key, "", time.Now().AddDate(1, 0, 0))
}

var verdict = regexp.MustCompile(`(?m)^outlook_monitor_notifications_total\{verdict="(.*)"\} (\d+)$`)

// verdicts returns the number of notifications by verdict.
func (tb *testbed) verdicts() map[string]int {
	tb.t.Helper()
	all := map[string]int{}
	_, metrics := tb.get("/metrics")
	for _, found := range verdict.FindAllStringSubmatch(metrics, -1) {
		n, err := strconv.Atoi(found[2])
		if err != nil {
			tb.t.Fatal(err)
		}
		all[found[1]] = n
	}
	return all
}

func TestResourceData(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	load := newWorkload(tb, 4)
	p := load.startCovered()

	wantNone := func(verdicts ...string) {
		t.Helper()
		for _, verdict := range verdicts {
			if n := tb.verdicts()[verdict]; n != 0 {
				t.Errorf("%d notifications with the verdict %s, want none", n, verdict)
			}
		}
	}

	// Turn it on: every subscription is replaced by one with resource data.
	p.stop()
	tb.env["ENCRYPTION_CERT_FILE"], tb.env["ENCRYPTION_KEY_FILE"] = encryptionPair(t)
	p = tb.start("serve")
	withResourceData := func(certificates int) func() bool {
		return func() bool {
			ids := map[string]bool{}
			for _, sub := range tb.sim.Subscriptions() {
				if !sub.IncludeResourceData || time.Until(sub.ExpirationDateTime) > 24*time.Hour {
					return false
				}
				ids[sub.EncryptionCertificateID] = true
			}
			return load.coveredOnce() && len(ids) == certificates
		}
	}
	load.eventually("each subscription has resource data", withResourceData(1))
	tb.waitReady()
	load.change()
	load.waitDelivered()
	load.eventually("encrypted notifications are accepted", func() bool { return tb.verdicts()["accepted"] >= 2 })
	wantNone("forged", "bad_token", "bad_signature")

	// Add another pair before it: content for the old one can still be decrypted.
	p.stop()
	cert, key := encryptionPair(t)
	tb.env["ENCRYPTION_CERT_FILE"] = cert + "," + tb.env["ENCRYPTION_CERT_FILE"]
	tb.env["ENCRYPTION_KEY_FILE"] = key + "," + tb.env["ENCRYPTION_KEY_FILE"]
	tb.start("serve")
	tb.waitReady()
	for _, sub := range tb.sim.Subscriptions()[:1] {
		if err := tb.sim.SendLifecycle(sub.ID, graphsim.ReauthorizationRequired); err != nil {
			t.Fatal(err)
		}
	}
	load.eventually("the renewed subscription has the new certificate", withResourceData(2))
	load.change()
	load.waitDelivered()
	load.eventually("notifications for both are accepted", func() bool { return tb.verdicts()["accepted"] >= 2 })
	wantNone("forged", "bad_token", "bad_signature", "undecryptable")
}
