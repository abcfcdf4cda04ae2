package webhook_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/webhook"
)

func TestACertificateIsNamedAlikeEverywhere(t *testing.T) {
	pair := newFiles(t).write(t, firstKey(), time.Hour)
	text, err := os.ReadFile(pair.cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	sum := sha256.Sum256(block.Bytes)
	for range 2 { // replicas
		id, certificate := load(t, pair, newFiles(t).write(t, secondKey(), time.Hour)).Current()
		if want := base64.RawURLEncoding.EncodeToString(sum[:16]); id != want {
			t.Errorf("Current = id %q, want %q", id, want)
		}
		if want := base64.StdEncoding.EncodeToString(block.Bytes); certificate != want {
			t.Errorf("Current = certificate %q, want %q", certificate, want)
		}
	}
}

func TestPairsThatCanNotBeUsed(t *testing.T) {
	good, other := newFiles(t).write(t, firstKey(), time.Hour), newFiles(t).write(t, secondKey(), time.Hour)
	curve, weak := newFiles(t).write(t, curveKey(), time.Hour), newFiles(t).write(t, weakKey(), time.Hour)
	tests := map[string]struct {
		certs, keys []string
		says        []string
	}{
		"no pair":             {nil, nil, []string{"ENCRYPTION_CERT_FILE", "at least one"}},
		"one key missing":     {[]string{good.cert, other.cert}, []string{good.key}, []string{"ENCRYPTION_KEY_FILE", "name the same number"}},
		"no certificate file": {[]string{good.cert + "x"}, []string{good.key}, []string{"ENCRYPTION_CERT_FILE", "can't be read"}},
		"no key file":         {[]string{good.cert}, []string{good.key + "x"}, []string{"ENCRYPTION_KEY_FILE", "can't be read"}},
		"files interchanged":  {[]string{good.key}, []string{good.cert}, []string{"ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE", "fit together"}},
		"another's key":       {[]string{good.cert}, []string{other.key}, []string{"fit together"}},
		"no RSA key":          {[]string{curve.cert}, []string{curve.key}, []string{"ENCRYPTION_KEY_FILE", "2048 to 4096"}},
		"too short a key":     {[]string{good.cert, weak.cert}, []string{good.key, weak.key}, []string{"ENCRYPTION_KEY_FILE", weak.key, "2048 to 4096"}},
		"two mistakes at once": {[]string{curve.cert, good.cert}, []string{curve.key, other.key},
			[]string{"2048 to 4096", "fit together"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.NewCertificates(tt.certs, tt.keys, slog.New(slog.DiscardHandler))
			for _, words := range tt.says {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("NewCertificates = %v, want %q in it", err, words)
				}
			}
		})
	}
}

func TestFilesThatChange(t *testing.T) {
	inTime(t, nil, func(t *testing.T, l *login, tokens *webhook.Tokens) {
		var out bytes.Buffer
		pair := newFiles(t).write(t, firstKey(), time.Hour)
		certificates, err := webhook.NewCertificates([]string{pair.cert}, []string{pair.key}, slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil {
			t.Fatal(err)
		}
		opened := func(s subscriber) string {
			b := newInbox()
			return post(t, trusting(t, b, tokens, certificates), b, webhook.NotificationPath, []any{l.token(t, "1.0")}, s.rich(t, ann))
		}
		const yes = "1 reads 0 events [accepted:1]"
		old := current(t, certificates)

		pair.write(t, secondKey(), 2*time.Hour)
		if id := current(t, certificates).id; id != old.id {
			t.Errorf("Current = %s at once, want %s: files are looked at once a second", id, old.id)
		}
		time.Sleep(time.Second)
		replaced := current(t, certificates)
		if replaced.id == old.id {
			t.Errorf("Current = %s after the files changed, want another", replaced.id)
		}
		if left := time.Until(certificates.Expires()); left <= time.Hour {
			t.Errorf("Expires in %v, want that of the new certificate", left)
		}
		for _, s := range []subscriber{old, replaced} {
			if got := opened(s); got != yes {
				t.Errorf("after the pair was replaced: %s, want %s", got, yes)
			}
		}

		save(t, pair.key, []byte("no key"))
		for range 10 {
			time.Sleep(time.Second)
			if id := current(t, certificates).id; id != replaced.id {
				t.Errorf("Current = %s while the files are broken, want %s", id, replaced.id)
			}
		}
		if got := opened(replaced); got != yes {
			t.Errorf("while the files are broken: %s, want %s", got, yes)
		}
		if got := strings.Count(out.String(), "level=WARN"); got != 1 {
			t.Errorf("%d warnings of one broken change, want 1: %s", got, out.String())
		}

		pair.write(t, thirdKey(), time.Hour)
		time.Sleep(time.Second)
		// Another replica has seen the files and Graph already uses the new pair.
		if got := opened(current(t, load(t, pair))); got != yes {
			t.Errorf("with the newest pair: %s, want %s", got, yes)
		}
		for _, s := range []subscriber{old, replaced} {
			if got := opened(s); got != yes {
				t.Errorf("after two changes: %s, want %s", got, yes)
			}
		}
		if strings.Contains(out.String(), "PRIVATE") {
			t.Errorf("log has a key in it: %s", out.String())
		}
	})
}

// warnings counts those of a log that is written to it.
type warnings struct{ atomic.Int64 }

func (w *warnings) Write(line []byte) (int, error) {
	w.Add(int64(bytes.Count(line, []byte("level=WARN"))))
	return len(line), nil
}

func TestAnExpiryIsWarnedOfOnceADay(t *testing.T) {
	firstKey()
	secondKey()
	synctest.Test(t, func(t *testing.T) {
		var warned warnings
		const day = 24 * time.Hour
		pair := newFiles(t).write(t, firstKey(), 35*day)
		later := newFiles(t).write(t, secondKey(), day)
		certificates, err := webhook.NewCertificates([]string{pair.cert, later.cert}, []string{pair.key, later.key}, slog.New(slog.NewTextHandler(&warned, nil)))
		if err != nil {
			t.Fatal(err)
		}
		stop := await.Run(t, certificates.Run)
		after := func(d time.Duration) int64 {
			time.Sleep(d)
			synctest.Wait()
			return warned.Swap(0)
		}
		for _, tt := range []struct {
			name       string
			after      time.Duration
			from, upTo int64
		}{
			{"more than 30 days before the end", 4 * day, 0, 0},
			{"the last 31 days", 31 * day, 29, 31},
			{"five days after the end", 5 * day, 4, 6},
		} {
			if got := after(tt.after); got < tt.from || got > tt.upTo {
				t.Errorf("%d warnings in %s, want %d to %d", got, tt.name, tt.from, tt.upTo)
			}
		}
		pair.write(t, secondKey(), 365*day)
		if got := after(2 * day); got != 0 {
			t.Errorf("%d warnings after the pair was replaced, want none", got)
		}
		stop()
	})
}
