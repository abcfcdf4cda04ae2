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

// Storage keeps certificates with their private keys, the key of the ACME account and
// answers to challenges, for all replicas. Whoever can read it can pretend to be the
// service.
type Storage interface {
	// Get returns what is kept under name, nil if nothing is.
	Get(ctx context.Context, name string) ([]byte, error)
	Put(ctx context.Context, name string, data []byte) error
	Delete(ctx context.Context, name string) error
}

// ACMEConfig says which ACME server issues certificates for which domains.
type ACMEConfig struct {
	Domains   []string // in lower case; a certificate for each
	Email     string   // that the ACME server may write to; may be empty
	Directory string   // of the ACME server; empty: Let's Encrypt
	CAFile    string   // authority (PEM) of a private ACME server; empty: the system's
	Storage   Storage

	// Lock takes a lock of the given name for about LockTime, or fails if another
	// replica has it. It keeps replicas that start together from ordering a certificate
	// each.
	Lock func(ctx context.Context, name string) (unlock func(context.Context) error, err error)
	Log  *slog.Logger
}

// LockTime is what an order takes at most, usually.
const LockTime = 2 * time.Minute

// Waits. An ACME server allows five mistakes an hour for a domain.
const (
	firstWait   = 2 * time.Minute
	longestWait = time.Hour
	lockWait    = time.Second
	// handshakeTime is how long a caller waits for the first certificate; headerTime
	// ends the connection.
	handshakeTime = 4 * time.Second
	checkInterval = time.Hour
	requestTime   = 30 * time.Second
)

// ACME obtains certificates from an ACME server, which asks for proof at the listener
// itself (TLS-ALPN-01, at port 443 of each domain), and renews them a third of their
// life before they end. One replica orders, any may be asked for the proof, and all
// serve the same certificate. Two replicas rarely renew at once, because each reads
// the storage first, at a time of its own.
type ACME struct {
	cfg     ACMEConfig
	manager *autocert.Manager
	ready   map[string]chan struct{} // by domain; closed once there is a certificate
}

// NewACME makes no call: [ACME.Run] does.
func NewACME(cfg ACMEConfig) (*ACME, error) {
	if len(cfg.Domains) == 0 || cfg.Storage == nil || cfg.Lock == nil || cfg.Log == nil {
		return nil, errors.New("server: Domains, Storage, Lock and Log are required")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ACME_CA_FILE: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, errors.New("ACME_CA_FILE holds no certificate: write it as PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	a := &ACME{cfg: cfg, ready: map[string]chan struct{}{}, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: cache{cfg.Storage, cfg.Log}, Email: cfg.Email,
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

// TLS returns what a listener needs to show the certificates and to answer the ACME
// server.
func (a *ACME) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: a.certificate, NextProtos: []string{"http/1.1", acme.ALPNProto},
	}
}

// certificate answers a handshake. Only Run causes an order: a caller waits for a
// moment, and a name that is not ours is not looked up.
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
	select {
	case <-ready:
		return a.current(domain)
	case <-time.After(handshakeTime):
		return nil, errors.New("there is no certificate yet")
	}
}

// current returns the certificate that autocert has, finds in the storage or orders. It
// is an ECDSA one whatever the caller supports, so that one order is enough.
func (a *ACME) current(domain string) (*tls.Certificate, error) {
	return a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName: domain, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
}

// Run obtains what is missing, with backoff until it works, and then warns of
// certificates that could not be renewed.
func (a *ACME) Run(ctx context.Context) error {
	var domains sync.WaitGroup
	for _, domain := range a.cfg.Domains {
		domains.Go(func() { a.keep(ctx, domain) })
	}
	domains.Wait()
	return nil
}

// keep obtains the certificate of a domain, and then checks it each hour.
func (a *ACME) keep(ctx context.Context, domain string) {
	for failures := 1; ; failures++ {
		wait := schedule.Doubling(failures, firstWait, longestWait)
		err := a.obtain(ctx, domain)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		a.cfg.Log.WarnContext(ctx, "no certificate yet, retrying: check that port 443 of the domain reaches LISTEN_ADDR as it is",
			"domain", domain, "wait", wait.String(), "err", err)
		if !schedule.Sleep(ctx, wait) {
			return
		}
	}
	a.cfg.Log.InfoContext(ctx, "certificate obtained", "domain", domain)
	close(a.ready[domain])
	for schedule.Sleep(ctx, checkInterval) {
		cert, err := a.current(domain)
		if err != nil || cert.Leaf == nil {
			continue
		}
		life, left := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore), time.Until(cert.Leaf.NotAfter)
		if left < life/6 {
			a.cfg.Log.WarnContext(ctx, "certificate expires soon and was not renewed: check that port 443 of the domain reaches LISTEN_ADDR as it is",
				"domain", domain, "expires", cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
}

// obtain takes the lock and lets autocert read the storage and, if there is
// nothing, order.
func (a *ACME) obtain(ctx context.Context, domain string) error {
	unlock, err := a.cfg.Lock(ctx, domain)
	for err != nil { // another replica has it, or Redis is away, which others log
		if !schedule.Sleep(ctx, lockWait) {
			return ctx.Err()
		}
		unlock, err = a.cfg.Lock(ctx, domain)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := unlock(ctx); err != nil {
			a.cfg.Log.WarnContext(ctx, "lock not released, it expires", "domain", domain, "err", err)
		}
	}()
	answered := make(chan error, 1)
	go func() {
		_, err := a.current(domain)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err() // autocert knows no ctx; it gives up within five minutes
	}
}

// cache is a storage as autocert wants it.
type cache struct {
	Storage
	log *slog.Logger
}

func (c cache) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := c.Storage.Get(ctx, name)
	if err == nil && data == nil {
		return nil, autocert.ErrCacheMiss
	}
	return data, err
}

// Put logs an error, because autocert ignores it and goes on with what this process
// alone then knows.
func (c cache) Put(ctx context.Context, name string, data []byte) error {
	err := c.Storage.Put(ctx, name, data)
	if err != nil {
		c.log.WarnContext(ctx, "certificate data could not be stored for the other replicas", "name", name, "err", err)
	}
	return err
}
