package tunnel_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/tunnel"
)

// endpoint is an ngrok endpoint without connections.
type endpoint struct {
	net.Listener // nil: Accept is never called
	public       string
	broken       chan error // makes Serve return
	ended        int
}

func (e *endpoint) URL() *url.URL { u, _ := url.Parse(e.public); return u }
func (e *endpoint) End()          { e.ended++ }

// account returns its results in turn and then repeats the last one.
type account struct {
	reported []string
	log      programtest.Output
	results  []any // *endpoint or error
	opens    []time.Time
}

func (a *account) ngrok() *tunnel.Ngrok {
	return &tunnel.Ngrok{
		Open: func(ctx context.Context) (tunnel.Endpoint, error) {
			a.opens = append(a.opens, time.Now())
			result := a.results[min(len(a.opens), len(a.results))-1]
			if err, failed := result.(error); failed {
				return nil, err
			}
			return result.(*endpoint), nil
		},
		Serve: func(ctx context.Context, ln net.Listener) error {
			select {
			case <-ctx.Done():
				return nil
			case err := <-ln.(*endpoint).broken:
				return err
			}
		},
		OnChange: func(url string) { a.reported = append(a.reported, url) }, Log: slog.New(slog.NewTextHandler(&a.log, nil)),
	}
}

func TestBrokenTunnelIsReopened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &endpoint{public: "https://one.ngrok.app", broken: make(chan error, 1)}
		two := &endpoint{public: "https://two.ngrok.app"}
		revoked := &tunnel.Refusal{Code: "ERR_NGROK_107"} // is permanent only at the start
		a := &account{results: []any{errors.New("no network"), errors.New("no network"), one, revoked, two}}
		stop := await.Run(t, a.ngrok().Run)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !slices.Equal(a.reported, []string{one.public}) || one.ended != 0 {
			t.Fatalf("URLs = %v, want only the first, open", a.reported)
		}
		broke := time.Now()
		one.broken <- errors.New("session ended")
		time.Sleep(time.Hour)
		stop()
		if wait := a.opens[3].Sub(broke); wait != time.Second {
			t.Errorf("the first try after a success came after %v, want 1s", wait)
		}
		if want := []string{one.public, "", two.public, ""}; !slices.Equal(a.reported, want) {
			t.Errorf("URLs = %v, want %v", a.reported, want)
		}
		if one.ended != 1 || two.ended != 1 {
			t.Errorf("ended %d and %d times, want once each", one.ended, two.ended)
		}
		if strings.Count(a.log.String(), "tunnel not open, retrying") != 4 {
			t.Errorf("log = %s, want four failures", &a.log)
		}
	})
}

func TestNgrokBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		brief := &endpoint{public: "https://one.ngrok.app", broken: make(chan error)}
		close(brief.broken)
		a := &account{results: []any{errors.New("no network"), brief}}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		if err := a.ngrok().Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if tries := len(a.opens); tries < 60 || tries > 70 {
			t.Errorf("%d tries in an hour, want one a minute after the first few", tries)
		}
	})
}

// sdkError is an error that ngrok sent.
type sdkError string

func (sdkError) Error() string  { return "text that may contain the token" }
func (e sdkError) Code() string { return string(e) }

func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		code      string
		contains  string
		permanent bool
	}{
		"malformed token":           {"ERR_NGROK_105", "NGROK_AUTHTOKEN is not valid", true},
		"revoked token":             {"ERR_NGROK_107", "dashboard.ngrok.com/get-started/your-authtoken", true},
		"too many sessions":         {"ERR_NGROK_108", "end one of them", false},
		"domain of another account": {"ERR_NGROK_320", "choose another", false},
		"domain in use":             {"ERR_NGROK_334", "NGROK_URL is in use", false},
		"unknown code":              {"ERR_NGROK_9999", "https://ngrok.com/docs/errors/err_ngrok_9999", false},
		"no code":                   {"", "ngrok refused without an error code", false},
	} {
		t.Run(name, await.Bubble(func(t *testing.T) {
			refusal := tunnel.Explain(sdkError(tt.code))
			if text := refusal.Error(); !strings.Contains(text, tt.code) || !strings.Contains(text, tt.contains) {
				t.Errorf("refusal = %q, want %s and %q in it", text, tt.code, tt.contains)
			}
			a := &account{results: []any{refusal}}
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			err := a.ngrok().Run(ctx)
			if ended := errors.Is(err, refusal); ended != tt.permanent || (len(a.opens) == 1) != tt.permanent {
				t.Errorf("Run = %v after %d tries, want it to end at once: %t", err, len(a.opens), tt.permanent)
			}
		}))
	}
}

// TestOpenWithoutNgrok connects to a port that first doesn't answer and is then closed, and
// to one behind TLS inspection.
func TestOpenWithoutNgrok(t *testing.T) {
	ln := programtest.Listen(t)
	const token = "2abcDEF_very_secret_token"
	account := tunnel.Account{Token: token, Server: ln.Addr().String()}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := account.Open(ctx); err == nil || strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("Open = %v, want it to end with its context, before its own timeout", err)
	}
	inspected := httptest.NewTLSServer(http.NotFoundHandler())
	defer inspected.Close()
	_, err := tunnel.Account{Token: token, Server: inspected.Listener.Addr().String()}.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "signed by unknown authority") {
		t.Errorf("Open = %v, want the certificate as the reason", err)
	}
	ln.Close()
	_, err = account.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ngrok is unreachable") || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("Open = %v, want ngrok to be unreachable, and why", err)
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("Open = %v, want it without the token", err)
	}
}
