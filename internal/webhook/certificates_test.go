package webhook_test

import (
	"crypto/rsa"
	"crypto/tls"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/webhook"
)

func TestUnusablePairs(t *testing.T) {
	good := writePair(t, t.TempDir(), key1(), time.Hour)
	curve, weak := writePair(t, t.TempDir(), certtest.Key(t), time.Hour), writePair(t, t.TempDir(), weakKey(), time.Hour)
	for name, tt := range map[string]struct {
		certs, keys []string
		want        []string // in the error
	}{
		"no key file":            {[]string{good.cert}, []string{good.key + "x"}, []string{good.cert, good.key + "x"}},
		"key of another":         {[]string{good.cert}, []string{curve.key}, []string{good.cert, curve.key}},
		"not RSA, and too short": {[]string{curve.cert, weak.cert}, []string{curve.key, weak.key}, []string{curve.key + ": not an RSA key", weak.key + ": not an RSA key of 2048 to 4096 bits"}},
	} {
		_, err := webhook.NewCertificates(tt.certs, tt.keys, slog.New(slog.DiscardHandler))
		for _, words := range tt.want {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: NewCertificates = %v, want %q in it", name, err, words)
			}
		}
	}
	long := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 4096)}}
	if webhook.CheckKey(&tls.Certificate{PrivateKey: long}) == nil {
		t.Error("CheckKey of a key of 4,097 bits = nil, want an error: Graph refuses it")
	}
}

func TestFilesReplaced(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		dir := t.TempDir()
		pair := writePair(t, dir, key1(), time.Hour)
		certificates := loadCertificates(t, pair)
		accepts := func(encrypters ...encrypter) {
			t.Helper()
			for _, e := range encrypters {
				exchange{collectionWith(t, []any{l.token(t, "1.0")}, e.item(t, ann)), 202, forAnn, 0, counts{"accepted": 1}}.run(t, webhook.NotificationPath, tokens, certificates)
			}
		}
		first := newEncrypter(t, loadCertificates(t, pair)) // of another replica

		writePair(t, dir, key2(), 2*time.Hour)
		time.Sleep(time.Second)
		second := newEncrypter(t, certificates)
		if second.id == first.id {
			t.Errorf("Current = %s after the files changed, want another", second.id)
		}
		if left := time.Until(certificates.Expires()); left <= time.Hour {
			t.Errorf("Expires in %v, want that of the new certificate", left)
		}
		accepts(first, second)

		writePair(t, dir, key3(), time.Hour)
		time.Sleep(time.Second)
		// Another replica has read the files before this one, and Graph uses the new pair.
		accepts(newEncrypter(t, loadCertificates(t, pair)), first, second)
	})
}

func TestExpiryWarning(t *testing.T) {
	key1()
	key2()
	synctest.Test(t, func(t *testing.T) {
		var out programtest.Output
		const day = 24 * time.Hour
		dir := t.TempDir()
		pair := writePair(t, dir, key1(), 35*day)
		second := writePair(t, t.TempDir(), key2(), day)
		certs, keys := []string{pair.cert, second.cert}, []string{pair.key, second.key}
		certificates, err := webhook.NewCertificates(certs, keys, slog.New(slog.NewTextHandler(&out, nil)))
		must.NoError(t, err)
		await.Run(t, certificates.Run)
		for _, tt := range []struct {
			period       string
			life, length time.Duration // life 0: the certificate stays
			min, max     int           // warnings
		}{
			{"4 days, until 31 are left", 0, 4 * day, 0, 0},
			{"5 days more", 0, 5 * day, 3, 5},
			{"3 days with an expired one", -time.Minute, 3 * day, 2, 4},
			{"2 days with a new one", 365 * day, 2 * day, 0, 0},
		} {
			if tt.life != 0 {
				writePair(t, dir, key1(), tt.life)
			}
			before := strings.Count(out.String(), "level=WARN")
			time.Sleep(tt.length)
			synctest.Wait()
			if got := strings.Count(out.String(), "level=WARN") - before; got < tt.min || got > tt.max {
				t.Errorf("%d warnings in %s, want %d to %d", got, tt.period, tt.min, tt.max)
			}
		}
	})
}
