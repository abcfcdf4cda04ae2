package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"regexp"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/redistest"
)

// encryptionPair writes a certificate and its key to files.
func encryptionPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must.NoError(t, err)
	return certtest.Files(t, key, "", time.Now().AddDate(1, 0, 0))
}

var (
	accepted = regexp.MustCompile(`(?m)^outlook_monitor_notifications_total{verdict="accepted"} ([2-9]|\d\d)`)
	rejected = regexp.MustCompile(`notifications_total{verdict="(forged|bad_token|bad_signature|undecryptable)"} [^0]`)
)

func TestResourceData(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	load := newWorkload(tb, 4)
	p := load.startCovered()
	// wantAccepted makes Graph send two notifications, both of which must be accepted.
	wantAccepted := func() {
		t.Helper()
		load.change()
		load.waitDelivered()
		var metrics string
		load.eventually("the notifications are accepted", func() bool {
			_, metrics = tb.get("/metrics")
			return accepted.MatchString(metrics)
		})
		if found := rejected.FindString(metrics); found != "" {
			t.Errorf("metrics have %s, want only accepted notifications", found)
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
	wantAccepted()
	tb.waitForMetrics(`users{state="watching"} 4`, `subscriptions{state="live"} 4`, "uncovered_users 0",
		"graph_token_expiry_timestamp_seconds ", `certificate_expiry_timestamp_seconds{certificate="encryption"} `)

	// Add another pair before it: content for the old one can still be decrypted.
	p.stop()
	cert, key := encryptionPair(t)
	tb.env["ENCRYPTION_CERT_FILE"] = cert + "," + tb.env["ENCRYPTION_CERT_FILE"]
	tb.env["ENCRYPTION_KEY_FILE"] = key + "," + tb.env["ENCRYPTION_KEY_FILE"]
	tb.startReady()
	must.NoError(t, tb.sim.SendLifecycle(tb.sim.Subscriptions()[0].ID, graphsim.ReauthorizationRequired))
	load.eventually("the renewed subscription has the new certificate", withResourceData(2))
	wantAccepted()
}
