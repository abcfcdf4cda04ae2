package tunnel_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/tunnel"
)

// endpoint is an ngrok endpoint that nobody calls.
type endpoint struct {
	net.Listener // nil: it is never accepted from
	public       string
	broken       chan error // what Serve returns
	closed       atomic.Int32
}

func (e *endpoint) URL() *url.URL { u, _ := url.Parse(e.public); return u }
func (e *endpoint) Close() error  { e.closed.Add(1); return nil }

// account opens endpoints in turn; nil is a failure.
type account struct {
	heard  urls
	log    programtest.Output
	opens  []any // *endpoint or error; the last one again and again
	opened atomic.Int32
	times  []time.Time
}

func (a *account) ngrok(t *testing.T) *tunnel.Ngrok {
	t.Helper()
	return &tunnel.Ngrok{
		Open: func(ctx context.Context) (tunnel.Endpoint, error) {
			a.times = append(a.times, time.Now())
			i := int(a.opened.Add(1)) - 1
			switch next := a.opens[min(i, len(a.opens)-1)].(type) {
			case *endpoint:
				return next, nil
			case error:
				return nil, next
			}
			<-ctx.Done()
			return nil, ctx.Err()
		},
		Serve: func(ctx context.Context, ln net.Listener) error {
			select {
			case <-ctx.Done():
				return nil
			case err := <-ln.(*endpoint).broken:
				return err
			}
		},
		Opened: a.heard.opened, Log: slog.New(slog.NewTextHandler(&a.log, nil)),
	}
}

func TestABrokenTunnelIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &endpoint{public: "https://one.ngrok.app", broken: make(chan error, 1)}
		two := &endpoint{public: "https://two.ngrok.app"}
		a := &account{opens: []any{errors.New("no network"), errors.New("no network"), one, errors.New("no network"), two}}
		n := a.ngrok(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		time.Sleep(time.Hour)
		if got := a.heard.all(); !slices.Equal(got, []string{one.public}) || one.closed.Load() != 0 {
			t.Fatalf("URLs = %v, want the first alone, open", got)
		}
		one.broken <- errors.New("session ended")
		time.Sleep(time.Hour)
		if got, want := a.heard.all(), []string{one.public, two.public}; !slices.Equal(got, want) {
			t.Errorf("URLs = %v, want %v", got, want)
		}
		stop()
		if err := <-ended; err != nil || one.closed.Load() != 1 || two.closed.Load() != 1 {
			t.Errorf("Run = %v, closed %d and %d times, want nil and once each", err, one.closed.Load(), two.closed.Load())
		}
		if strings.Count(a.log.String(), "the tunnel is not open, retrying") != 4 {
			t.Errorf("log = %s, want four failures", &a.log)
		}
	})
}

func TestTriesBecomeRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &account{opens: []any{errors.New("no network")}}
		n := a.ngrok(t)
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		if err := n.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if tries := a.opened.Load(); tries < 60 || tries > 70 {
			t.Errorf("%d tries in an hour, want one a minute after the first few", tries)
		}
		if first := a.times[1].Sub(a.times[0]); first != time.Second {
			t.Errorf("first wait = %v, want 1s", first)
		}
	})
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		code    string
		says    string
		forGood bool
	}{
		"a token that is none":     {"ERR_NGROK_105", "NGROK_AUTHTOKEN is not valid", true},
		"a token that was revoked": {"ERR_NGROK_107", "dashboard.ngrok.com/get-started/your-authtoken", true},
		"another session":          {"ERR_NGROK_108", "end another one", false},
		"somebody else's domain":   {"ERR_NGROK_320", "choose another", false},
		"a domain in use":          {"ERR_NGROK_334", "NGROK_URL is in use", false},
		"what we do not know":      {"ERR_NGROK_9999", "https://ngrok.com/docs/errors/err_ngrok_9999", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refusal := &tunnel.Refusal{Code: tt.code}
				if text := refusal.Error(); !strings.Contains(text, tt.code) || !strings.Contains(text, tt.says) || refusal.ForGood() != tt.forGood {
					t.Errorf("refusal = %q, for good: %t, want %q in it, for good: %t", text, refusal.ForGood(), tt.says, tt.forGood)
				}
				a := &account{opens: []any{refusal}}
				n := a.ngrok(t)
				ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
				defer stop()
				err := n.Run(ctx)
				if ended := errors.Is(err, refusal); ended != tt.forGood || (a.opened.Load() == 1) != tt.forGood {
					t.Errorf("Run = %v after %d tries, want it to end at once: %t", err, a.opened.Load(), tt.forGood)
				}
			})
		})
	}
}

func TestATokenRevokedLaterEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &endpoint{public: "https://one.ngrok.app", broken: make(chan error, 1)}
		one.broken <- errors.New("session ended")
		a := &account{opens: []any{one, &tunnel.Refusal{Code: "ERR_NGROK_107"}}}
		n := a.ngrok(t)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := n.Run(ctx); err != nil || a.opened.Load() < 3 {
			t.Errorf("Run = %v after %d tries, want nil and more tries", err, a.opened.Load())
		}
	})
}

// TestWithoutNetwork has ngrok's own SDK call an address where nobody listens.
func TestWithoutNetwork(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	const token = "2abcDEF_very_secret_token"
	_, err = tunnel.Account{Token: token, Server: ln.Addr().String()}.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ngrok can't be reached") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Open = %v, want that ngrok can't be reached, and why", err)
	}
	if err != nil && strings.Contains(err.Error(), token) {
		t.Errorf("Open = %v, want it without the token", err)
	}
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // takes calls and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if e, err := (tunnel.Account{Token: "t", Server: ln.Addr().String()}).Open(ctx); err == nil {
		t.Errorf("Open = %v, want an error", e)
	}
}
