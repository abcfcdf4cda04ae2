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
	failed chan error   // to Run; capacity 1

	serving sync.Mutex
	stop    func() // cuts the connections; guarded by serving, as all below
	down    bool
	ended   bool

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

// New returns a server that answers until [Server.Run] ends.
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
	s := &Server{
		cfg: cfg, addr: ln.Addr().String(), failed: make(chan error, 1),
		monitorURL: cfg.MonitorURL, states: map[string]State{},
		client: &http.Client{
			Timeout:       10 * time.Second,
			Transport:     &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.serve(ln)
	return s, nil
}

// URL returns the base URL of the mediator.
func (s *Server) URL() string { return "http://" + s.addr }

// Run waits until ctx ends. It then cuts the requests in flight and returns when they have
// ended.
func (s *Server) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
		err = fmt.Errorf("mediatorsim: %w", err)
	}
	s.serving.Lock()
	s.stop()
	s.ended = true
	s.serving.Unlock()
	s.requests.Lock() // waits for the last request
	defer s.requests.Unlock()
	s.client.CloseIdleConnections()
	return err
}

// SetDown makes the mediator refuse connections and cut the open ones, or listen again at
// the same address. If the address stays taken, Run ends with an error.
func (s *Server) SetDown(down bool) {
	s.serving.Lock()
	defer s.serving.Unlock()
	if s.ended || down == s.down {
		return
	}
	s.down = down
	if down {
		s.stop()
		return
	}
	ln, err := net.Listen("tcp", s.addr)
	for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // another process may use the address for a moment
		ln, err = net.Listen("tcp", s.addr)
	}
	if err != nil {
		s.failed <- err
		return
	}
	s.serve(ln)
}

// serve serves ln until stop is called, which may be called again.
func (s *Server) serve(ln net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
	s.stop = func() {
		cancel()
		_ = server.Close() // cuts the connections
		serving.Wait()
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
