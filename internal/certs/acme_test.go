package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certs"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/store"
)

const domain = "monitor.contoso.example"

// newACME fills in defaults: an ACME server that is unreachable, and a lock that is always free.
func newACME(t *testing.T, cfg certs.ACMEConfig) *certs.ACME {
	t.Helper()
	cfg.Domains = []string{domain}
	if cfg.Directory == "" {
		cfg.Directory = "https://" + programtest.FreeAddress(t) + "/dir"
	}
	if cfg.Lock == nil {
		cfg.Lock = func(context.Context, string) (func(context.Context) error, error) {
			return func(context.Context) error { return nil }, nil
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a, err := certs.NewACME(cfg)
	must.NoError(t, err)
	return a
}

// TestOneReplicaOrdersAndAllServe starts three replicas together. The ACME server verifies
// the domain at a fourth, which does not order.
func TestOneReplicaOrdersAndAllServe(t *testing.T) {
	shared, err := store.Open(store.Config{URL: redistest.Start(t).URL()})
	must.NoError(t, err)
	t.Cleanup(shared.Close)
	storage, verified := shared.Storage("acme"), programtest.Listen(t)
	ca := startACMEServer(t, verified.Addr().(*net.TCPAddr).Port)
	replica := func(ln net.Listener) *certs.ACME {
		a := newACME(t, certs.ACMEConfig{
			Directory: ca.directory, CAFile: ca.caFile, Email: "operator@contoso.example", Storage: storage,
			Lock: func(ctx context.Context, name string) (func(context.Context) error, error) {
				return shared.Lock(ctx, name, certs.LockTime)
			},
		})
		go func() { _ = http.Serve(tls.NewListener(ln, a.TLS()), http.NotFoundHandler()) }()
		return a
	}
	dialer := tls.Dialer{Config: &tls.Config{ServerName: domain, RootCAs: ca.roots, NextProtos: []string{"http/1.1"}}}
	serial := func(ln net.Listener) (serial string) {
		await.True(t, "a certificate of the ACME server is served", func() bool {
			conn, err := dialer.DialContext(t.Context(), "tcp", ln.Addr().String())
			if err != nil {
				return false
			}
			defer conn.Close()
			serial = conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
			return true
		})
		return serial
	}
	last, listeners := replica(verified), []net.Listener{programtest.Listen(t), programtest.Listen(t), programtest.Listen(t)}
	for _, ln := range listeners {
		await.Run(t, replica(ln).Run)
	}
	first := serial(listeners[0])

	stored, err := storage.Get(t.Context(), domain)
	if err != nil || !bytes.Contains(stored, []byte("PRIVATE KEY")) || !bytes.Contains(stored, []byte("CERTIFICATE")) {
		t.Errorf("%d bytes are stored, %v, want a key and a certificate", len(stored), err)
	}
	await.True(t, "the answer to the challenge is deleted", func() bool {
		token, err := storage.Get(t.Context(), domain+"+token")
		return err == nil && token == nil
	})

	late := programtest.Listen(t)
	await.Run(t, last.Run)
	await.Run(t, replica(late).Run)
	for _, ln := range append(listeners, verified, late) {
		if got := serial(ln); got != first {
			t.Errorf("a replica serves certificate %s, another %s", got, first)
		}
	}
	if got := ca.orders(); got != 1 {
		t.Errorf("%d certificates were ordered, want 1", got)
	}

	must.NoError(t, storage.Delete(t.Context(), domain))
	restarted := programtest.Listen(t)
	await.Run(t, replica(restarted).Run)
	if serial(restarted) == first || strings.Count(ca.log.String(), "accounts in memory") != 1 {
		t.Error("the restarted replica did not order another certificate with the same account")
	}
}

// memoryStorage is a Storage with the data of a test. It stores nothing.
type memoryStorage struct {
	certs.Storage // nil: Delete is not called
	stored        map[string][]byte
	gets          atomic.Int64
	failing       int64 // so many Gets fail
	putErr        error
}

// newStorage returns a Storage with a certificate as autocert stores it.
func newStorage(t *testing.T, from, to time.Time) *memoryStorage {
	t.Helper()
	certificate, key := certtest.SelfSigned(t, certtest.Key(t), domain, from, to)
	return &memoryStorage{stored: map[string][]byte{domain: append(key, certificate...)}}
}

func (v *memoryStorage) Get(_ context.Context, name string) ([]byte, error) {
	if v.gets.Add(1) <= v.failing {
		return nil, errors.New("redis: connection refused")
	}
	return v.stored[name], nil
}

func (v *memoryStorage) Put(context.Context, string, []byte) error { return v.putErr }

func TestServerNames(t *testing.T) {
	v := newStorage(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	a := newACME(t, certs.ACMEConfig{Storage: v})
	await.Run(t, a.Run)
	handshake := func(name string, protos ...string) error {
		_, err := a.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: name, SupportedProtos: protos})
		return err
	}
	await.True(t, "the certificate is served", func() bool { return handshake(domain) == nil })
	before := v.gets.Load()
	for name, tt := range map[string]struct {
		name   string
		protos []string
		ok     bool
	}{
		"domain":                  {domain, nil, true},
		"upper case":              {strings.ToUpper(domain), nil, true},
		"trailing dot":            {domain + ".", nil, true},
		"none":                    {"", nil, true},
		"other domain":            {"other.contoso.example", nil, false},
		"other domain, challenge": {"other.contoso.example", []string{"acme-tls/1"}, false},
	} {
		err, more := handshake(tt.name, tt.protos...), v.gets.Load()-before
		if (err == nil) != tt.ok || more != 0 {
			t.Errorf("%s: GetCertificate = %v after %d look-ups in the storage, want success: %t, and no look-up", name, err, more, tt.ok)
		}
	}
}

func TestUnreachableACMEServerIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := programtest.Logger()
		a := newACME(t, certs.ACMEConfig{Storage: &memoryStorage{}, Log: log})
		await.Run(t, a.Run)
		for _, tt := range []struct {
			at   time.Duration
			want int // attempts at 0, 2, 6, 14, 30 and 62 minutes, then every hour
		}{{time.Minute, 1}, {time.Hour, 5}, {65 * time.Minute, 6}, {65*time.Minute + 24*time.Hour, 30}} {
			time.Sleep(tt.at - time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
			synctest.Wait()
			if got := strings.Count(out.String(), "no certificate yet"); got != tt.want {
				t.Errorf("%d attempts after %v, want %d", got, tt.at, tt.want)
			}
		}

		began := time.Now()
		_, err := a.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: domain})
		if took := time.Since(began); err == nil || took != 4*time.Second {
			t.Errorf("GetCertificate = %v after %v, want an error after 4s", err, took)
		}
	})
}

func TestExpiringCertificateIsLogged(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			age, left time.Duration
			want      bool
		}{
			"renewal has begun":         {65 * day, 25 * day, false},
			"expires soon":              {80 * day, 10 * day, true},
			"expires soon, short-lived": {6 * day, day, true},
		} {
			log, out := programtest.Logger()
			a := newACME(t, certs.ACMEConfig{Storage: newStorage(t, time.Now().Add(-tt.age), time.Now().Add(tt.left)), Log: log})
			await.Run(t, a.Run)
			time.Sleep(61 * time.Minute)
			if got := strings.Contains(out.String(), "expires soon"); got != tt.want {
				t.Errorf("%s: warning logged: %t, want %t; log:\n%s", name, got, tt.want, out)
			}
			if _, err := a.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: domain}); err != nil {
				t.Errorf("%s: GetCertificate = %v, want the certificate while it is valid", name, err)
			}
		}
	})
}

func TestObtainWaitsForTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newStorage(t, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
		v.failing = 3
		began := time.Now()
		var released []string
		a := newACME(t, certs.ACMEConfig{Storage: v, Lock: func(_ context.Context, name string) (func(context.Context) error, error) {
			if time.Since(began) < time.Minute {
				return nil, errors.New("locked")
			}
			return func(ctx context.Context) error { released = append(released, name); return ctx.Err() }, nil
		}})
		stop := await.Run(t, a.Run)
		time.Sleep(30 * time.Second)
		if n := v.gets.Load(); n != 0 {
			t.Errorf("%d look-ups without the lock, want none", n)
		}
		time.Sleep(35 * time.Second)
		if _, err := a.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: domain}); err != nil {
			t.Errorf("GetCertificate = %v, want the certificate", err)
		}
		stop()
		if len(released) != 4 || released[0] != domain {
			t.Errorf("released = %v, want %s after each look-up", released, domain)
		}
	})
}

func TestStorageFailureIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := programtest.Logger()
		a := newACME(t, certs.ACMEConfig{Storage: &memoryStorage{putErr: errors.New("redis: out of memory")}, Log: log})
		await.Run(t, a.Run)
		time.Sleep(time.Second)
		synctest.Wait()
		if !strings.Contains(out.String(), "could not be stored") || !strings.Contains(out.String(), "out of memory") {
			t.Errorf("log = %q, want the failure and its cause", out)
		}
	})
}

func TestInvalidCAFile(t *testing.T) {
	noCertificate := filetest.Temp(t, "ca.pem", "no certificate")
	for _, path := range []string{noCertificate, noCertificate + ".none"} {
		if _, err := certs.NewACME(certs.ACMEConfig{CAFile: path}); err == nil {
			t.Errorf("NewACME with %s = nil, want an error", path)
		}
	}
}
