package mediatorsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config configures a [Server]. The zero value is usable.
type Config struct {
	Addr         string // default 127.0.0.1:0
	MonitorURL   string // base URL of the monitor; may be set later
	MonitorToken string // bearer token for the monitor; empty: none

	// Received is called for each setstatus call, just before its answer is sent.
	Received func(Call)
	Log      *slog.Logger
}

// Server is a mediator.
type Server struct {
	cfg    Config
	addr   string
	client *http.Client // for the monitor
	ln     net.Listener // for Run

	outages chan outage   // to Run
	ended   chan struct{} // closed by Run

	requests sync.RWMutex // held for reading by each request
	posting  sync.Mutex   // held while a setup posts a user, or a stop is posted

	mu         sync.Mutex
	monitorURL string           // guarded by mu, as all below
	users      []string         // addresses, in the order they were added
	states     map[string]State // by address
	calls      []Call
	setups     int
	setupDelay time.Duration
	react      func(Call) Reaction // nil: none
}

// outage is a call of SetDown.
type outage struct {
	down bool
	done chan struct{} // closed by Run
}

// New opens the listener and returns a server that answers once [Server.Run] is called.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Received == nil {
		cfg.Received = func(Call) {}
	}
	ln, err := net.Listen("tcp", cmp.Or(cfg.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("mediatorsim: %w", err)
	}
	return &Server{
		cfg: cfg, ln: ln, addr: ln.Addr().String(), outages: make(chan outage), ended: make(chan struct{}),
		monitorURL: cfg.MonitorURL, states: map[string]State{},
		client: &http.Client{
			Timeout:       10 * time.Second,
			Transport:     &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// URL returns the base URL of the mediator.
func (s *Server) URL() string { return "http://" + s.addr }

// Run answers until ctx ends. It then cuts the requests in flight and returns when they
// have ended.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	stop, down := s.serve(s.ln, failed), false
	defer func() {
		stop()
		close(s.ended)
		s.requests.Lock() // waits for the last request
		defer s.requests.Unlock()
		s.client.CloseIdleConnections()
	}()
	var err error
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case err = <-failed:
		case o := <-s.outages:
			if o.down {
				stop()
			} else if down {
				stop, err = s.serveAgain(failed)
			}
			down = o.down
			close(o.done)
		}
	}
	return fmt.Errorf("mediatorsim: %w", err)
}

// SetDown makes the mediator refuse connections and cut the open ones, or listen again at
// the same address. It waits for [Server.Run] and returns when that is done. If the address
// stays taken, Run ends with an error.
func (s *Server) SetDown(down bool) {
	o := outage{down, make(chan struct{})}
	select {
	case s.outages <- o:
		<-o.done
	case <-s.ended:
	}
}

// serve serves ln until stop is called, which may be called again.
func (s *Server) serve(ln net.Listener, failed chan<- error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	return func() {
		cancel()
		_ = server.Close() // cuts the connections
		serving.Wait()
	}
}

// serveAgain serves the address, which another process may use for a moment.
func (s *Server) serveAgain(failed chan<- error) (stop func(), err error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ln, err := net.Listen("tcp", s.addr)
		if err == nil {
			return s.serve(ln, failed), nil
		}
		if time.Now().After(deadline) {
			return func() {}, err
		}
	}
}

// handler returns the handler of the mediator's API.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "VMO MEDIATOR") })
	mux.HandleFunc("POST /api/setup", s.setup)
	mux.HandleFunc("POST /api/setstatus", s.setStatus)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.RLock()
		defer s.requests.RUnlock()
		if r.Context().Err() != nil { // it arrived while the server was stopping
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	})
}
