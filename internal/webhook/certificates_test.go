package webhook_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/webhook"
)

func TestUnusablePairs(t *testing.T) {
	good := writePair(t, t.TempDir(), key1(), time.Hour)
	curve, weak := writePair(t, t.TempDir(), certtest.Key(t), time.Hour), writePair(t, t.TempDir(), weakKey(), time.Hour)
	tests := map[string]struct {
		certs, keys []string
		want        []string // in the error
	}{
		"no key file":            {[]string{good.cert}, []string{good.key + "x"}, []string{good.cert, good.key + "x"}},
		"key of another":         {[]string{good.cert}, []string{curve.key}, []string{good.cert, curve.key}},
		"not RSA, and too short": {[]string{curve.cert, weak.cert}, []string{curve.key, weak.key}, []string{curve.key + ": not an RSA key", weak.key + ": not an RSA key of 2048 to 4096 bits"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.NewCertificates(tt.certs, tt.keys, slog.New(slog.DiscardHandler))
			for _, words := range tt.want {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("NewCertificates = %v, want %q in it", err, words)
				}
			}
		})
	}
}

func TestFilesReplaced(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		var out bytes.Buffer
		dir := t.TempDir()
		pair := writePair(t, dir, key1(), time.Hour)
		certificates, err := webhook.NewCertificates([]string{pair.cert}, []string{pair.key}, slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil {
			t.Fatal(err)
		}
		accepts := func(encrypters ...encrypter) {
			t.Helper()
			for _, e := range encrypters {
				request{[]any{l.token(t, "1.0")}, []any{e.item(t, ann)}, forAnn, 0, counts{"accepted": 1}}.post(t, tokens, certificates)
			}
		}
		first := newEncrypter(t, certificates)

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

		save(t, pair.key, []byte("no key"))
		for range 10 {
			time.Sleep(time.Second)
			if id := newEncrypter(t, certificates).id; id != second.id {
				t.Errorf("Current = %s while the files are broken, want %s", id, second.id)
			}
		}
		accepts(second)

		writePair(t, dir, key3(), time.Hour)
		time.Sleep(time.Second)
		// Another replica has read the files before this one, and Graph uses the new pair.
		accepts(newEncrypter(t, loadCertificates(t, pair)), first, second)
		if strings.Count(out.String(), "level=WARN") != 1 || strings.Contains(out.String(), "PRIVATE") {
			t.Errorf("log = %s, want one warning of the broken files and no key", out.String())
		}
	})
}

// warningCounter counts the warnings in a log that is written to it.
type warningCounter struct{ atomic.Int64 }

func (w *warningCounter) Write(line []byte) (int, error) {
	w.Add(int64(bytes.Count(line, []byte("level=WARN"))))
	return len(line), nil
}

func TestExpiryWarning(t *testing.T) {
	key1()
	key2()
	synctest.Test(t, func(t *testing.T) {
		var warnings warningCounter
		const day = 24 * time.Hour
		dir := t.TempDir()
		pair := writePair(t, dir, key1(), 35*day)
		second := writePair(t, t.TempDir(), key2(), day)
		certs, keys := []string{pair.cert, second.cert}, []string{pair.key, second.key}
		certificates, err := webhook.NewCertificates(certs, keys, slog.New(slog.NewTextHandler(&warnings, nil)))
		if err != nil {
			t.Fatal(err)
		}
		stop := await.Run(t, certificates.Run)
		after := func(d time.Duration) int64 {
			time.Sleep(d)
			synctest.Wait()
			return warnings.Swap(0)
		}
		for _, tt := range []struct {
			period   string
			length   time.Duration
			min, max int64
		}{
			{"the first 4 days", 4 * day, 0, 0},
			{"the last 31 days", 31 * day, 29, 31},
			{"5 days after the expiry", 5 * day, 4, 6},
		} {
			if got := after(tt.length); got < tt.min || got > tt.max {
				t.Errorf("%d warnings in %s, want %d to %d", got, tt.period, tt.min, tt.max)
			}
		}
		writePair(t, dir, key2(), 365*day)
		if got := after(2 * day); got != 0 {
			t.Errorf("%d warnings after the pair was replaced, want none", got)
		}
		stop()
	})
}
