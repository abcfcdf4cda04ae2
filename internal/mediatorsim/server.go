// Package mediatorsim stands in for the mediator, in the demo and in tests. It
// speaks the old mediator's API: asked by POST /api/setup, it posts every user
// of its table to the monitor's /monitor before it answers; POST /api/setstatus
// must bring three strings and a user that it knows, spelled as it spells it. It
// remembers every call and misbehaves on request.
package mediatorsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
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

	Received func(Call) // hears of each state that was brought, once it is answered; may be nil
	Log      *slog.Logger
}

// Call is a state that was brought to POST /api/setstatus.
type Call struct {
	At        time.Time
	Email     string
	Status    string // True or False
	Message   string
	WebhookID string
	Trace     string // traceparent
	Answered  int    // HTTP status; 0: the connection was cut
}

// State is what the mediator acknowledged last for a user.
type State struct{ Status, Message string }

// Reaction is an answer other than the usual one.
type Reaction struct {
	Status     int           // 0: the usual
	RetryAfter string        // header; empty: none
	Delay      time.Duration // before the answer
	Cut        bool          // the connection ends without an answer
}

// Server is one mediator.
type Server struct {
	cfg    Config
	signer *standardwebhooks.Webhook // nil: signatures don't matter
	addr   string

	mu      sync.Mutex
	monitor string           // guarded by mu, as all below
	table   []string         // addresses, in the order they were added
	states  map[string]State // by address
	calls   []Call
	setups  int
	react   func(Call) Reaction // nil: none
	ln      net.Listener        // nil while away
	back    chan struct{}       // closed when it comes back
	serving *http.Server        // nil before Run and while away
}

// New listens and returns a server that answers once [Server.Run] is called.
func New(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Received == nil {
		cfg.Received = func(Call) {}
	}
	s := &Server{cfg: cfg, monitor: cfg.MonitorURL, states: map[string]State{}}
	if cfg.SigningSecret != "" {
		signer, err := standardwebhooks.NewWebhook(cfg.SigningSecret)
		if err != nil {
			return nil, fmt.Errorf("mediatorsim: signing secret: %w", err)
		}
		s.signer = signer
	}
	ln, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("mediatorsim: %w", err)
	}
	s.ln, s.addr = ln, ln.Addr().String()
	return s, nil
}

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.Away(true) })
	defer stop()
	for ctx.Err() == nil {
		s.mu.Lock()
		ln, back := s.ln, s.back
		srv := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
		if ln != nil {
			s.serving = srv
		}
		s.mu.Unlock()
		if ln == nil {
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
	return nil
}

// Away makes the mediator refuse connections and cut those it has, or come back
// at the same address.
func (s *Server) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case away && s.ln != nil:
		_ = s.ln.Close()
		if s.serving != nil {
			_ = s.serving.Close()
		}
		s.ln, s.serving, s.back = nil, nil, make(chan struct{})
	case !away && s.ln == nil:
		for { // its port may take a moment to be free
			ln, err := net.Listen("tcp", s.addr)
			if err == nil {
				s.ln = ln
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		close(s.back)
	}
}

// URL is the mediator's base URL.
func (s *Server) URL() string { return "http://" + s.addr }

// SetMonitorURL says where the monitor is.
func (s *Server) SetMonitorURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitor = base
}

// Add puts users into the table without telling the monitor.
func (s *Server) Add(emails ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, email := range emails {
		if !slices.Contains(s.table, email) {
			s.table = append(s.table, email)
		}
	}
}

// Monitor starts or stops the monitoring of a user and keeps the table in step.
// It returns the monitor's answer.
func (s *Server) Monitor(ctx context.Context, email string, on bool) (status int, err error) {
	if on {
		s.Add(email)
	} else {
		s.mu.Lock()
		s.table = slices.DeleteFunc(s.table, func(e string) bool { return e == email })
		s.mu.Unlock()
	}
	return s.post(ctx, email, on)
}

// post asks the monitor to start or stop with one user.
func (s *Server) post(ctx context.Context, email string, on bool) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	word := "False"
	if on {
		word = "True"
	}
	body, err := json.Marshal(map[string]string{"email": email, "status": word})
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	base := s.monitor
	s.mu.Unlock()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/monitor", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if s.cfg.MonitorToken != "" {
		request.Header.Set("Authorization", "Bearer "+s.cfg.MonitorToken)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// Calls returns every state that was brought, in the order of arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// State returns what was acknowledged last for a user.
func (s *Server) State(email string) (State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, ok := s.states[email]
	return state, ok
}

// Setups returns how often POST /api/setup was asked.
func (s *Server) Setups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setups
}

// Answer makes calls be answered as react says; nil ends that.
func (s *Server) Answer(react func(Call) Reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.react = react
}
