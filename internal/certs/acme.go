package certs

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

// Storage stores certificates with their private keys, the key of the ACME account and
// answers to challenges, for all replicas. Anyone who can read it can impersonate the
// service.
type Storage interface {
	// Get returns the data stored under name, or nil if there is none.
	Get(ctx context.Context, name string) ([]byte, error)
	Put(ctx context.Context, name string, data []byte) error
	Delete(ctx context.Context, name string) error
}

// ACMEConfig configures an [ACME].
type ACMEConfig struct {
	Domains   []string // at least one, in lower case; each gets its own certificate
	Email     string   // contact for the ACME server; may be empty
	Directory string   // URL of the ACME server; empty: Let's Encrypt
	CAFile    string   // certificate authority (PEM) of a private ACME server; empty: those of the system
	Storage   Storage

	// Lock takes the named lock for about LockTime, or fails if another replica holds it.
	// It keeps replicas that start together from each ordering a certificate.
	Lock func(ctx context.Context, name string) (unlock func(context.Context) error, err error)
	Log  *slog.Logger
}

// LockTime is longer than most orders take.
const LockTime = 2 * time.Minute

const (
	// ACME servers allow about five failures per hour and domain.
	minBackoff = 2 * time.Minute
	maxBackoff = time.Hour

	lockInterval = time.Second
	// handshakeTimeout is how long a caller waits for the first certificate, less than the
	// server gives a handshake.
	handshakeTimeout = 4 * time.Second
	checkInterval    = time.Hour
	requestTimeout   = 30 * time.Second
)

// ACME obtains certificates from an ACME server and renews them when a third of their
// lifetime is left. The ACME server verifies each domain at the listener itself
// (TLS-ALPN-01, port 443 of the domain). One replica orders, any replica can answer the
// challenge, and all serve the same certificate. Two replicas rarely renew at the same
// time, because each reads the storage first, at a random time.
type ACME struct {
	cfg     ACMEConfig
	manager *autocert.Manager
	ready   map[string]chan struct{} // by domain; closed once it has a certificate
}

// NewACME returns an ACME. It makes no call; [ACME.Run] does.
func NewACME(cfg ACMEConfig) (*ACME, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ACME_CA_FILE: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, errors.New("ACME_CA_FILE contains no certificate in PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	a := &ACME{cfg: cfg, ready: map[string]chan struct{}{}, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: cache{cfg.Storage, cfg.Log}, Email: cfg.Email,
		HostPolicy: autocert.HostWhitelist(cfg.Domains...),
		Client: &acme.Client{
			DirectoryURL: cmp.Or(cfg.Directory, autocert.DefaultACMEDirectory), UserAgent: "outlook-monitor",
			HTTPClient: &http.Client{Transport: transport, Timeout: requestTimeout},
		},
	}}
	for _, domain := range cfg.Domains {
		a.ready[domain] = make(chan struct{})
	}
	return a, nil
}

// TLS returns the configuration of a listener that serves the certificates and answers
// challenges.
func (a *ACME) TLS() *tls.Config {
	return &tls.Config{GetCertificate: a.certificate, NextProtos: []string{"http/1.1", acme.ALPNProto}}
}

// certificate answers a handshake. It never orders a certificate, because only Run does,
// and looks up nothing for an unknown name.
func (a *ACME) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// Health checks connect to an IP address and send no name.
	domain := cmp.Or(strings.ToLower(strings.TrimSuffix(hello.ServerName, ".")), a.cfg.Domains[0])
	ready, ok := a.ready[domain]
	if !ok {
		return nil, errors.New("unknown server name")
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		return a.manager.GetCertificate(hello)
	}
	select {
	case <-ready:
		return a.current(domain)
	case <-time.After(handshakeTimeout):
		return nil, errors.New("no certificate yet")
	}
}

// current returns the certificate from autocert's memory, from the storage, or from a new
// order. It is always ECDSA, so that one order per domain is enough.
func (a *ACME) current(domain string) (*tls.Certificate, error) {
	return a.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName: domain, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
}

// Run obtains missing certificates, with backoff until it succeeds, and then warns about
// certificates that were not renewed.
func (a *ACME) Run(ctx context.Context) error {
	var domains sync.WaitGroup
	for _, domain := range a.cfg.Domains {
		domains.Go(func() { a.maintain(ctx, domain) })
	}
	domains.Wait()
	return nil
}

// maintain obtains the certificate of a domain and then checks it every hour.
func (a *ACME) maintain(ctx context.Context, domain string) {
	for failures := 0; ; {
		err := a.obtain(ctx, domain)
		if err == nil {
			break
		}
		wait := lockInterval
		if !errors.Is(err, errNotNow) {
			failures++
			wait = schedule.Doubling(failures, minBackoff, maxBackoff)
			if ctx.Err() == nil {
				a.cfg.Log.WarnContext(ctx, "no certificate yet, retrying: check that port 443 of the domain reaches LISTEN_ADDR with TLS passed through",
					"domain", domain, "wait", wait.String(), "err", err)
			}
		}
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
		lifetime := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
		if time.Until(cert.Leaf.NotAfter) < lifetime/6 {
			a.cfg.Log.WarnContext(ctx, "certificate expires soon and was not renewed: check that port 443 of the domain reaches LISTEN_ADDR with TLS passed through",
				"domain", domain, "expires", cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
}

// errNotNow means that another replica holds the lock, or Redis is unreachable, which is logged
// elsewhere.
var errNotNow = errors.New("the storage of certificates can't be used now")

// obtain takes the lock and makes autocert read the storage and, if it has no
// certificate, order one. It returns errNotNow if nothing was asked of the ACME server.
func (a *ACME) obtain(ctx context.Context, domain string) error {
	unlock, err := a.cfg.Lock(ctx, domain)
	if err != nil {
		return errNotNow
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := unlock(ctx); err != nil {
			a.cfg.Log.WarnContext(ctx, "lock not released, it will expire", "domain", domain, "err", err)
		}
	}()
	result := make(chan error, 1)
	go func() {
		_, err := a.current(domain)
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err() // autocert takes no context; it gives up within five minutes
	}
}

// cache adapts a Storage to autocert.Cache.
type cache struct {
	Storage
	log *slog.Logger
}

func (c cache) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := c.Storage.Get(ctx, name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNotNow, err)
	case data == nil:
		return nil, autocert.ErrCacheMiss
	}
	return data, nil
}

// Put logs an error, because autocert ignores it and continues with data that only this
// process has.
func (c cache) Put(ctx context.Context, name string, data []byte) error {
	err := c.Storage.Put(ctx, name, data)
	if err != nil {
		c.log.WarnContext(ctx, "certificate data could not be stored for the other replicas", "name", name, "err", err)
	}
	return err
}
