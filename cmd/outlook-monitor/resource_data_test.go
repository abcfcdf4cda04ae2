package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strconv"
	"strings"
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

// notifications returns the number of notifications with a verdict.
func (tb *testbed) notifications(verdict string) int {
	_, metrics := tb.get("/metrics")
	_, rest, _ := strings.Cut(metrics, `outlook_monitor_notifications_total{verdict="`+verdict+`"} `)
	number, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.Atoi(number) // absent: 0
	return n
}

func TestResourceData(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 40})
	load := newWorkload(tb, 4)
	p := load.startCovered()
	// wantAccepted makes Graph send two notifications, none of which may have a bad verdict.
	wantAccepted := func(bad ...string) {
		t.Helper()
		load.change()
		load.waitDelivered()
		load.eventually("the notifications are accepted", func() bool { return tb.notifications("accepted") >= 2 })
		for _, verdict := range bad {
			if n := tb.notifications(verdict); n != 0 {
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
	wantAccepted("forged", "bad_token", "bad_signature")
	for _, want := range []string{
		`users{state="watching"} 4`, `subscriptions{state="live"} 4`, "uncovered_users 0",
		"graph_token_expiry_timestamp_seconds ", `certificate_expiry_timestamp_seconds{certificate="encryption"} `,
	} {
		load.eventually("metrics have "+want, func() bool {
			_, metrics := tb.get("/metrics")
			return strings.Contains(metrics, "\noutlook_monitor_"+want)
		})
	}

	// Add another pair before it: content for the old one can still be decrypted.
	p.stop()
	cert, key := encryptionPair(t)
	tb.env["ENCRYPTION_CERT_FILE"] = cert + "," + tb.env["ENCRYPTION_CERT_FILE"]
	tb.env["ENCRYPTION_KEY_FILE"] = key + "," + tb.env["ENCRYPTION_KEY_FILE"]
	tb.startReady()
	if err := tb.sim.SendLifecycle(tb.sim.Subscriptions()[0].ID, graphsim.ReauthorizationRequired); err != nil {
		t.Fatal(err)
	}
	load.eventually("the renewed subscription has the new certificate", withResourceData(2))
	wantAccepted("forged", "bad_token", "bad_signature", "undecryptable")
}
