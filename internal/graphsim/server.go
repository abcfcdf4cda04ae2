package graphsim

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Defaults of Config.
const (
	DefaultTenantID     = "6d1f2c34-90ab-4cde-8f01-23456789abcd"
	DefaultClientID     = "b2a8f7e6-5d4c-4b3a-9281-706f5e4d3c2b"
	DefaultClientSecret = "graphsim-secret"
)

// stopGrace is how long requests in flight may take once the server stops.
const stopGrace = 3 * time.Second

// Config configures a Server. The zero value is usable.
type Config struct {
	Addr        string   // Graph and login, HTTPS; default 127.0.0.1:0
	ControlAddr string   // control API, plain HTTP; default 127.0.0.1:0
	Hosts       []string // further names and addresses in the certificate
	// CAFile is a PEM file with the authority that signs the certificate, and CAFile.key its
	// key. They are created if they are missing; empty: a new authority without files.
	CAFile string

	TenantID     string
	ClientID     string
	ClientSecret string
	Roles        []string // granted application permissions; nil: all that the simulator knows

	Seed          uint64        // determines ids and random choices
	TokenLifetime time.Duration // default 1 h
	// OnToken is called before a token for another audience than Graph is returned, so
	// that a simulator of that service can accept it. It may be nil.
	OnToken func(audience, object, token string, life time.Duration)

	MaxSubscription time.Duration // longer lives are refused; default 10,070 min
	MinSubscription time.Duration // shorter lives are raised to it; default 45 min

	NotificationRetry   time.Duration // wait before the first retry, doubled for each further one; default 1 s
	NotificationTimeout time.Duration // of the first attempt; default 3 s
	RetryTimeout        time.Duration // of further attempts and of the handshake; default 10 s

	Log *slog.Logger
}

// withDefaults returns cfg with defaults for all fields that are not set.
func (cfg Config) withDefaults() Config {
	cfg.Addr = cmp.Or(cfg.Addr, "127.0.0.1:0")
	cfg.ControlAddr = cmp.Or(cfg.ControlAddr, "127.0.0.1:0")
	cfg.TenantID = cmp.Or(cfg.TenantID, DefaultTenantID)
	cfg.ClientID = cmp.Or(cfg.ClientID, DefaultClientID)
	cfg.ClientSecret = cmp.Or(cfg.ClientSecret, DefaultClientSecret)
	if cfg.Roles == nil {
		cfg.Roles = []string{roleMailboxSettings, roleUsers, roleCalendars, roleMail, roleContacts, rolePresence}
	}
	cfg.TokenLifetime = cmp.Or(cfg.TokenLifetime, time.Hour)
	cfg.MaxSubscription = cmp.Or(cfg.MaxSubscription, 10070*time.Minute)
	cfg.MinSubscription = cmp.Or(cfg.MinSubscription, 45*time.Minute)
	cfg.NotificationRetry = cmp.Or(cfg.NotificationRetry, time.Second)
	cfg.NotificationTimeout = cmp.Or(cfg.NotificationTimeout, 3*time.Second)
	cfg.RetryTimeout = cmp.Or(cfg.RetryTimeout, 10*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

func (cfg Config) check() error {
	var errs []error
	if cfg.TokenLifetime < time.Second {
		errs = append(errs, fmt.Errorf("token lifetime is %v, want at least 1s", cfg.TokenLifetime))
	}
	if cfg.MinSubscription > cfg.MaxSubscription {
		errs = append(errs, fmt.Errorf("minimum subscription life %v exceeds the maximum %v", cfg.MinSubscription, cfg.MaxSubscription))
	}
	return errors.Join(errs...)
}

// Server simulates Graph: login, directory, mailboxes and subscriptions. Requests are handled
// one at a time, except while they wait for a fault or a notification URL.
type Server struct {
	cfg Config

	graphListener   net.Listener
	controlListener net.Listener
	authority       *authority
	leaf            tls.Certificate // signed by authority
	audiences       map[string]bool // that Graph accepts in tokens
	key             *rsa.PrivateKey // signs tokens
	keyID           string
	routes          []route
	client          *http.Client  // for notification URLs
	posts           chan struct{} // capacity maxPosts
	wake            chan struct{} // of runOutbox; capacity 1

	mu     sync.Mutex
	grants map[string]*grant // by token; guarded by mu, like all below
	state
}

// New listens on both addresses. Connections wait until [Server.Run] is called.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("graphsim: %w: %w", ErrInvalid, err)
	}
	ca, err := openAuthority(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("graphsim: certificate authority: %w", err)
	}
	leaf, err := ca.sign(cfg.Hosts)
	if err != nil {
		return nil, fmt.Errorf("graphsim: make a certificate: %w", err)
	}
	s := &Server{
		cfg:       cfg,
		authority: ca,
		leaf:      leaf,
		client:    newClient(ca),
		posts:     make(chan struct{}, maxPosts),
		wake:      make(chan struct{}, 1),
		keyID:     rand.Text(),
		grants:    make(map[string]*grant),
		state:     newState(cfg.Seed),
	}
	if s.graphListener, err = net.Listen("tcp", cfg.Addr); err != nil {
		return nil, fmt.Errorf("graphsim: listen for Graph: %w", err)
	}
	if s.controlListener, err = net.Listen("tcp", cfg.ControlAddr); err != nil {
		return nil, errors.Join(fmt.Errorf("graphsim: listen for control: %w", err), s.graphListener.Close())
	}
	if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, fmt.Errorf("graphsim: make signing key: %w", err)
	}
	s.audiences = s.acceptedAudiences()
	s.routes = s.graphRoutes()
	return s, nil
}

// Run serves until ctx ends. It returns once the listeners are closed and nothing is in
// flight. It may be called only once.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	secure := tls.NewListener(s.graphListener, &tls.Config{
		Certificates: []tls.Certificate{s.leaf}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	})
	g.Go(func() error { return s.serve(ctx, secure, s.graphHandler()) })
	g.Go(func() error { return s.serve(ctx, s.controlListener, s.controlHandler()) })
	g.Go(func() error { return s.runClock(ctx) })
	g.Go(func() error { return s.runOutbox(ctx) })
	return g.Wait()
}

// serve serves ln until ctx ends. It returns once the last request is answered, or aborted
// after stopGrace.
func (s *Server) serve(ctx context.Context, ln net.Listener, handler http.Handler) error {
	srv := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 1000},
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close() // aborts the last requests
		}
	})
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("graphsim: serve: %w", err)
	}
	<-drained
	return nil
}

// Reset deletes users, subscriptions, faults, counts and waiting notifications, and resets
// quotas and ids. Tokens stay valid.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = newState(s.cfg.Seed)
}

// unlocked calls wait without mu, which the caller holds.
func (s *Server) unlocked(wait func()) {
	s.mu.Unlock()
	defer s.mu.Lock()
	wait()
}

// URL returns the base URL of Graph and of the login endpoint.
func (s *Server) URL() string { return "https://" + s.graphListener.Addr().String() }

// ControlURL returns the base URL of the control API.
func (s *Server) ControlURL() string { return "http://" + s.controlListener.Addr().String() }

// CAPEM returns the PEM certificate of the server's authority.
func (s *Server) CAPEM() []byte { return s.authority.certificatePEM() }

// Roots returns a pool with the certificate of the server's authority.
func (s *Server) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.authority.certificate)
	return roots
}

// TenantID returns the tenant id.
func (s *Server) TenantID() string { return s.cfg.TenantID }

// acceptedAudiences returns the audiences of the tokens that Graph accepts: its own under each of
// its names, and those of the real Graph.
func (s *Server) acceptedAudiences() map[string]bool {
	set := map[string]bool{
		"https://graph.microsoft.com":          true,
		"00000003-0000-0000-c000-000000000000": true,
		s.URL():                                true,
	}
	port := strconv.Itoa(s.graphListener.Addr().(*net.TCPAddr).Port)
	for _, host := range append([]string{"localhost", "127.0.0.1", "::1"}, s.cfg.Hosts...) {
		set["https://"+net.JoinHostPort(host, port)] = true
		set["https://"+host] = true // behind a port mapping
	}
	return set
}
