package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
)

const domain = "monitor.contoso.example"

// newACME fills in what tests don't care for. Its ACME server is out of reach.
func newACME(t *testing.T, cfg server.ACMEConfig) *server.ACME {
	t.Helper()
	cfg.Domains = []string{domain}
	if cfg.Directory == "" {
		cfg.Directory = "https://" + programtest.FreeAddress(t) + "/dir"
	}
	if cfg.Lock == nil {
		cfg.Lock = unlocked
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a, err := server.NewACME(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// unlocked is a lock that is always free.
func unlocked(context.Context, string) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, nil
}

// replica is one of several instances of the service, as far as certificates go.
type replica struct {
	*server.ACME
	t       *testing.T
	address string
	ca      *acmeServer
}

// redis starts a Redis and returns how a replica reaches it.
func redis(t *testing.T) (open func() *store.Store) {
	url := redistest.Start(t).URL()
	return func() *store.Store {
		store, err := store.Open(store.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}
}

// newReplica serves; its Run is the test's.
func newReplica(t *testing.T, ln net.Listener, store *store.Store, ca *acmeServer) replica {
	t.Helper()
	a := newACME(t, server.ACMEConfig{
		Directory: ca.directory, CAFile: ca.caFile, Email: "operator@contoso.example", Storage: store.Storage("acme"),
		Lock: func(ctx context.Context, name string) (func(context.Context) error, error) {
			return store.Lock(ctx, name, server.LockTime)
		},
	})
	serving(t, ln, a.TLS())
	return replica{a, t, ln.Addr().String(), ca}
}

// serial waits until the replica answers with a certificate of the ACME server's
// and returns its serial number.
func (r replica) serial() string {
	r.t.Helper()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: r.ca.roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.address)
		},
	}
	defer transport.CloseIdleConnections()
	var serial string
	await.True(r.t, "a certificate is shown", func() bool {
		response, err := (&http.Client{Transport: transport}).Get("https://" + domain + "/")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != "hello" {
			r.t.Errorf("answer = %q, %v, want hello", body, err)
		}
		serial = response.TLS.PeerCertificates[0].SerialNumber.String()
		return true
	})
	return serial
}

// TestOneReplicaOrdersAndAllServe lets the ACME server ask a replica for the proof
// that is not the one that ordered.
func TestOneReplicaOrdersAndAllServe(t *testing.T) {
	open := redis(t)
	askedAt := loopback(t)
	ca := startACMEServer(t, askedAt.Addr().(*net.TCPAddr).Port)
	asked := newReplica(t, askedAt, open(), ca)
	orders := newReplica(t, loopback(t), open(), ca)
	await.Run(t, orders.Run)
	first := orders.serial()

	storage := open().Storage("acme")
	kept, err := storage.Get(t.Context(), domain)
	if err != nil || !bytes.Contains(kept, []byte("PRIVATE KEY")) || !bytes.Contains(kept, []byte("CERTIFICATE")) {
		t.Errorf("%d bytes are kept, %v, want a key and a certificate", len(kept), err)
	}
	await.True(t, "the answer to the challenge is forgotten", func() bool {
		token, err := storage.Get(t.Context(), domain+"+token")
		return err == nil && token == nil
	})

	late := newReplica(t, loopback(t), open(), ca)
	for name, r := range map[string]replica{"that was asked for the proof": asked, "that starts later": late} {
		await.Run(t, r.Run)
		if got := r.serial(); got != first {
			t.Errorf("the replica %s shows certificate %s, want %s", name, got, first)
		}
	}
	if got := ca.orders(); got != 1 {
		t.Errorf("%d certificates were ordered, want 1", got)
	}
}

func TestReplicasThatStartTogetherOrderOnce(t *testing.T) {
	open := redis(t)
	ln := loopback(t)
	ca := startACMEServer(t, ln.Addr().(*net.TCPAddr).Port)
	replicas := []replica{newReplica(t, ln, open(), ca)}
	for range 3 {
		replicas = append(replicas, newReplica(t, loopback(t), open(), ca))
	}
	for _, r := range replicas {
		await.Run(t, r.Run)
	}
	first := replicas[0].serial()
	for _, r := range replicas[1:] {
		if got := r.serial(); got != first {
			t.Errorf("a replica shows certificate %s, another %s", got, first)
		}
	}
	if got := ca.orders(); got != 1 {
		t.Errorf("%d certificates were ordered, want 1", got)
	}
}

// memoryStorage is one in memory.
type memoryStorage struct {
	mu    sync.Mutex
	kept  map[string][]byte // guarded by mu, as below
	asked []string
	full  error // of Put
}

func newStorage() *memoryStorage { return &memoryStorage{kept: map[string][]byte{}} }

func (v *memoryStorage) Get(_ context.Context, name string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, name)
	return v.kept[name], nil
}

func (v *memoryStorage) Put(_ context.Context, name string, data []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full == nil {
		v.kept[name] = data
	}
	return v.full
}

func (v *memoryStorage) Delete(_ context.Context, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.kept, name)
	return nil
}

// keep puts a certificate in, as autocert would.
func (v *memoryStorage) keep(t *testing.T, name string, from, to time.Time) {
	t.Helper()
	certificate, key := signed(t, template(name, from, to))
	v.kept[name] = append(key, certificate...)
}

func (v *memoryStorage) lookups() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := map[string]int{}
	for _, name := range v.asked {
		n[name]++
	}
	return n
}

func TestNamesInHandshakes(t *testing.T) {
	v := newStorage()
	v.keep(t, domain, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	a := newACME(t, server.ACMEConfig{Storage: v})
	await.Run(t, a.Run)
	ln := loopback(t)
	serving(t, ln, a.TLS())
	await.True(t, "the certificate is found", func() bool {
		_, err := shown(t, ln.Addr().String(), domain)
		return err == nil
	})
	before := v.lookups()
	tests := map[string]struct {
		name   string
		protos []string
		ok     bool
	}{
		"the domain":                        {domain, nil, true},
		"the domain in capitals":            {strings.ToUpper(domain), nil, true},
		"none, as health checks have it":    {"", nil, true},
		"another domain":                    {"other.contoso.example", nil, false},
		"a challenge nobody gave, for them": {"other.contoso.example", []string{"acme-tls/1"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dialer := tls.Dialer{Config: &tls.Config{ServerName: tt.name, NextProtos: tt.protos, InsecureSkipVerify: true}}
			conn, err := dialer.DialContext(t.Context(), "tcp", ln.Addr().String())
			if (err == nil) != tt.ok {
				t.Fatalf("handshake = %v, want ok %t", err, tt.ok)
			}
			if err == nil {
				conn.Close()
			}
			if got := v.lookups(); !maps.Equal(got, before) {
				t.Errorf("the storage was asked for %v, want no more than %v", got, before)
			}
		})
	}
}

func TestAnACMEServerThatIsAwayIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, told := logger()
		a := newACME(t, server.ACMEConfig{Storage: newStorage(), Log: log})
		await.Run(t, a.Run)
		for _, tt := range []struct {
			at   time.Duration
			want int // tries at 0, 2, 6, 14, 30 and 62 minutes, then every hour
		}{{time.Minute, 1}, {time.Hour, 5}, {65 * time.Minute, 6}, {65*time.Minute + 24*time.Hour, 30}} {
			time.Sleep(tt.at - time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
			synctest.Wait()
			if got := strings.Count(told.String(), "no certificate yet"); got != tt.want {
				t.Errorf("after %v there were %d tries, want %d", tt.at, got, tt.want)
			}
		}

		began := time.Now()
		_, err := a.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: domain})
		if took := time.Since(began); err == nil || took != 4*time.Second {
			t.Errorf("GetCertificate = %v after %v, want an error after 4s", err, took)
		}
	})
}

func TestACertificateThatWasNotRenewedIsToldOf(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]struct {
		age, left time.Duration
		want      bool
	}{
		"a fresh one":                 {day, 89 * day, false},
		"one whose renewal has begun": {65 * day, 25 * day, false},
		"one that ends soon":          {80 * day, 10 * day, true},
		"a short one that ends soon":  {6 * day, day, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, told := logger()
				v := newStorage()
				v.keep(t, domain, time.Now().Add(-tt.age), time.Now().Add(tt.left))
				a := newACME(t, server.ACMEConfig{Storage: v, Log: log})
				await.Run(t, a.Run)
				time.Sleep(61 * time.Minute)
				if got := strings.Contains(told.String(), "expires soon"); got != tt.want {
					t.Errorf("it is told of: %t, want %t; log:\n%s", got, tt.want, told)
				}
				if _, err := a.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: domain}); err != nil {
					t.Errorf("GetCertificate = %v, want the certificate as long as it is good", err)
				}
			})
		})
	}
}

func TestALockThatIsTakenIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newStorage()
		v.keep(t, domain, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
		began := time.Now()
		var freed []string
		a := newACME(t, server.ACMEConfig{Storage: v, Lock: func(_ context.Context, name string) (func(context.Context) error, error) {
			if time.Since(began) < time.Minute {
				return nil, errors.New("another has it")
			}
			return func(ctx context.Context) error { freed = append(freed, name); return ctx.Err() }, nil
		}})
		stop := await.Run(t, a.Run)
		time.Sleep(30 * time.Second)
		if n := len(v.lookups()); n != 0 {
			t.Errorf("%d names were looked up while another has the lock, want none", n)
		}
		time.Sleep(31 * time.Second)
		if _, err := a.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: domain}); err != nil {
			t.Errorf("GetCertificate = %v, want the certificate", err)
		}
		stop()
		if len(freed) != 1 || freed[0] != domain {
			t.Errorf("freed = %v, want %s once", freed, domain)
		}
	})
}

func TestStorageThatFailsIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, told := logger()
		v := newStorage()
		v.full = errors.New("redis: out of memory")
		a := newACME(t, server.ACMEConfig{Storage: v, Log: log})
		await.Run(t, a.Run)
		time.Sleep(time.Second)
		synctest.Wait()
		if !strings.Contains(told.String(), "could not be stored") || !strings.Contains(told.String(), "out of memory") {
			t.Errorf("log = %q, want it to say that nothing could be stored, and why", told)
		}
	})
}

func TestWrongConfigurations(t *testing.T) {
	noCertificate := filepath.Join(t.TempDir(), "ca.pem")
	write(t, noCertificate, []byte("no certificate"))
	for name, cfg := range map[string]server.ACMEConfig{
		"no domains":                {Storage: newStorage()},
		"no storage":                {Domains: []string{domain}},
		"no such file":              {Domains: []string{domain}, Storage: newStorage(), CAFile: filepath.Join(t.TempDir(), "none.pem")},
		"a file that holds nothing": {Domains: []string{domain}, Storage: newStorage(), CAFile: noCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Lock, cfg.Log = unlocked, slog.New(slog.DiscardHandler)
			if _, err := server.NewACME(cfg); err == nil {
				t.Error("NewACME = nil, want an error")
			}
		})
	}
}
