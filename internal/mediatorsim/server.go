package mediatorsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Config says how a [Server] behaves. The zero value is a good one.
type Config struct {
	Addr          string // default 127.0.0.1:0
	MonitorURL    string // base URL of the monitor; may be set later
	MonitorToken  string // bearer token shown to the monitor; empty: none
	Token         string // bearer token demanded of callers; empty: none
	SigningSecret string // whsec_…: what is not signed with it is answered 401

	// Received hears of each call once its answer is decided, just before that
	// leaves. It may be nil.
	Received func(Call)
	Log      *slog.Logger
}

// Server is one mediator.
type Server struct {
	cfg    Config
	signer *standardwebhooks.Webhook // nil: signatures don't matter
	addr   string
	client *http.Client // to the monitor
	inHand sync.WaitGroup

	moving  sync.Mutex // held while the mediator goes or comes back
	telling sync.Mutex // held while a setup tells of one user, or a user's stop is told

	mu      sync.Mutex
	monitor string           // guarded by mu, as all below
	table   []string         // addresses, in the order they were added
	states  map[string]State // by address
	calls   []Call
	setups  int
	slow    time.Duration       // how long each setup takes to begin
	react   func(Call) Reaction // nil: none
	ln      net.Listener        // nil while away
	serving *http.Server        // nil before Run and while away
	back    chan struct{}       // closed when it comes back
	lost    error               // why it can't come back
	ended   bool
}

// New listens and returns a server that answers once [Server.Run] is called.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Received == nil {
		cfg.Received = func(Call) {}
	}
	s := &Server{cfg: cfg, monitor: cfg.MonitorURL, states: map[string]State{}, client: newClient()}
	if cfg.SigningSecret != "" {
		signer, err := standardwebhooks.NewWebhook(cfg.SigningSecret)
		if err != nil {
			return nil, errors.New("mediatorsim: the signing secret is not whsec_ and base64")
		}
		s.signer = signer
	}
	ln, err := net.Listen("tcp", cmp.Or(cfg.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("mediatorsim: %w", err)
	}
	s.ln, s.addr = ln, ln.Addr().String()
	return s, nil
}

// URL is the mediator's base URL.
func (s *Server) URL() string { return "http://" + s.addr }

// Run answers until ctx ends. What is in hand then is cut, and has ended when
// Run returns.
func (s *Server) Run(ctx context.Context) error {
	defer s.end()
	stop := context.AfterFunc(ctx, func() { s.Away(true) })
	defer stop()
	for {
		ln, srv, back, err := s.here(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("mediatorsim: come back: %w", err)
		case ln == nil:
			select {
			case <-ctx.Done():
			case <-back:
			}
			continue
		}
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("mediatorsim: %w", err)
		}
	}
}

// here returns what to serve, or, while away, what to wait for.
func (s *Server) here(ctx context.Context) (net.Listener, *http.Server, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln == nil {
		return nil, nil, s.back, s.lost
	}
	s.serving = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	return s.ln, s.serving, nil, nil
}

// end closes everything and waits for what is in hand.
func (s *Server) end() {
	s.moving.Lock()
	s.leave()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.moving.Unlock()
	s.inHand.Wait()
	s.client.CloseIdleConnections()
}

// enter says whether one more request may be taken in hand.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.inHand.Add(1)
	return true
}

// Away makes the mediator refuse connections and cut those it has, or come back
// at the same address. It returns when that is so. If the address stays taken,
// [Server.Run] ends with an error.
func (s *Server) Away(away bool) {
	s.moving.Lock()
	defer s.moving.Unlock()
	if away {
		s.leave()
	} else {
		s.comeBack()
	}
}

// leave is called with moving held.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln == nil {
		return
	}
	_ = s.ln.Close()
	if s.serving != nil {
		_ = s.serving.Close()
	}
	s.ln, s.serving, s.back = nil, nil, make(chan struct{})
}

// comeBack is called with moving held.
func (s *Server) comeBack() {
	s.mu.Lock()
	settled := s.ln != nil || s.lost != nil || s.ended
	s.mu.Unlock()
	if settled {
		return
	}
	ln, err := listenAgain(s.addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln, s.lost = ln, err
	close(s.back)
}

// listenAgain listens at an address that somebody may have taken for a moment.
func listenAgain(addr string) (net.Listener, error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ln, err := net.Listen("tcp", addr)
		if err == nil || time.Now().After(deadline) {
			return ln, err
		}
	}
}
