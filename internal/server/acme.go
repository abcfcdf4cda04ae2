package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"outlook-monitor/internal/schedule"
)

// ACMEConfig says who vouches for which domains.
type ACMEConfig struct {
	Domains   []string // in lower case, as in DNS; a certificate for each
	Email     string   // told to the ACME server; may be empty
	Directory string   // of the ACME server; empty: Let's Encrypt
	CAFile    string   // authority (PEM) of a private ACME server; empty: the system's
	Vault     Vault

	// Lock takes a lock of the given name for about LockTime, or says that
	// another replica has it. It keeps replicas that start together from ordering
	// a certificate each, and may be nil.
	Lock func(ctx context.Context, name string) (unlock func(context.Context) error, err error)
	Log  *slog.Logger
}

// LockTime is what an order takes at most, usually.
const LockTime = 2 * time.Minute

// Waits. An ACME server bears five mistakes an hour for a domain.
const (
	firstWait   = 2 * time.Minute
	longestWait = time.Hour
	lockWait    = time.Second
	// handshakeTime is how long a caller waits for the first certificate; he is
	// cut off after headerTime.
	handshakeTime = 4 * time.Second
	lookTime      = time.Hour
	requestTime   = 30 * time.Second
)

// ACME obtains certificates from an ACME server, which asks for proof at the
// listener itself (TLS-ALPN-01, at port 443 of each domain), and renews them a
// third of their life before they end. Replicas may do the latter at once: rarely,
// because each first looks whether another did, at a time of its own.
type ACME struct {
	cfg     ACMEConfig
	manager *autocert.Manager
	ready   map[string]chan struct{} // by domain; closed once there is a certificate
}

// NewACME makes no call: [ACME.Run] does.
func NewACME(cfg ACMEConfig) (*ACME, error) {
	if len(cfg.Domains) == 0 || cfg.Vault == nil {
		return nil, errors.New("server: Domains and Vault are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Lock == nil {
		cfg.Lock = func(context.Context, string) (func(context.Context) error, error) {
			return func(context.Context) error { return nil }, nil
		}
	}
	transport, err := trusting(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	a := &ACME{cfg: cfg, ready: map[string]chan struct{}{}, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: cache{cfg.Vault, cfg.Log}, Email: cfg.Email,
		HostPolicy: autocert.HostWhitelist(cfg.Domains...),
		Client: &acme.Client{
			DirectoryURL: cmp.Or(cfg.Directory, autocert.DefaultACMEDirectory), UserAgent: "outlook-monitor",
			HTTPClient: &http.Client{Transport: transport, Timeout: requestTime},
		},
	}}
	for _, domain := range cfg.Domains {
		a.ready[domain] = make(chan struct{})
	}
	return a, nil
}

// trusting returns a transport that trusts the authority in a file.
func trusting(file string) (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if file == "" {
		return transport, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ACME_CA_FILE: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("ACME_CA_FILE holds no certificate: write it as PEM")
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	return transport, nil
}

// TLS returns what a listener needs to show the certificates and to answer the
// ACME server.
func (a *ACME) TLS() *tls.Config {
	cfg := a.manager.TLSConfig()
	cfg.MinVersion, cfg.GetCertificate = tls.VersionTLS12, a.certificate
	return cfg
}

// certificate answers a handshake. Nobody but Run causes an order: a caller waits
// for a moment, and a name that is not ours is not looked up.
func (a *ACME) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// A health check calls an address, not a name.
	domain := cmp.Or(strings.ToLower(strings.TrimSuffix(hello.ServerName, ".")), a.cfg.Domains[0])
	ready, ours := a.ready[domain]
	if !ours {
		return nil, errors.New("no such name here")
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		return a.manager.GetCertificate(hello)
	}
	timer := time.NewTimer(handshakeTime)
	defer timer.Stop()
	select {
	case <-ready:
		return a.ask(domain)
	case <-timer.C:
		return nil, errors.New("there is no certificate yet")
	}
}

// ask returns the certificate that autocert holds, finds in the vault or orders.
// It is an ECDSA one whatever the caller speaks, so that one order is enough.
func (a *ACME) ask(domain string) (*tls.Certificate, error) {
	return a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName: domain, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
}

// Run obtains what is missing, trying with growing waits until it works, and then
// warns of certificates that could not be renewed.
func (a *ACME) Run(ctx context.Context) error {
	var domains sync.WaitGroup
	for _, domain := range a.cfg.Domains {
		domains.Go(func() { a.tend(ctx, domain) })
	}
	domains.Wait()
	return nil
}

func (a *ACME) tend(ctx context.Context, domain string) {
	for failures := 1; ; failures++ {
		err := a.obtain(ctx, domain)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		wait := schedule.Doubling(failures, firstWait, longestWait)
		a.cfg.Log.WarnContext(ctx, "no certificate yet, will try on: see that port 443 of the domain reaches LISTEN_ADDR as it is",
			"domain", domain, "wait", wait.String(), "err", err)
		if !schedule.Sleep(ctx, wait) {
			return
		}
	}
	a.cfg.Log.InfoContext(ctx, "there is a certificate", "domain", domain)
	close(a.ready[domain])
	for schedule.Sleep(ctx, lookTime) {
		a.look(ctx, domain)
	}
}

// obtain takes the lock and lets autocert look into the vault and, if there is
// nothing, order.
func (a *ACME) obtain(ctx context.Context, domain string) error {
	unlock, err := a.cfg.Lock(ctx, domain)
	for err != nil {
		// Another replica is at it, or Redis is away, which others tell of.
		if !schedule.Sleep(ctx, lockWait) {
			return ctx.Err()
		}
		unlock, err = a.cfg.Lock(ctx, domain)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := unlock(ctx); err != nil {
			a.cfg.Log.WarnContext(ctx, "a lock was not freed, it ends by itself", "domain", domain, "err", err)
		}
	}()
	answered := make(chan error, 1)
	go func() {
		_, err := a.ask(domain)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err() // autocert knows no ctx; it gives up within five minutes
	}
}

// look warns of a certificate that should have been renewed long ago.
func (a *ACME) look(ctx context.Context, domain string) {
	cert, err := a.ask(domain)
	if err != nil || cert.Leaf == nil {
		return
	}
	life, left := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore), time.Until(cert.Leaf.NotAfter)
	if left < life/6 {
		a.cfg.Log.WarnContext(ctx, "the certificate ends soon and could not be renewed: see that port 443 of the domain reaches LISTEN_ADDR as it is",
			"domain", domain, "ends", cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
}
