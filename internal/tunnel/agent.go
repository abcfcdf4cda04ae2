package tunnel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/schedule"
)

// AgentConfig says what an [Agent] works with.
type AgentConfig struct {
	API    string           // base URL of the ngrok agent's local API
	Port   string           // that the tunnel must lead to
	Every  time.Duration    // between two looks; default 1 s
	Opened func(url string) // hears of each new URL
	Log    *slog.Logger
}

// Agent follows the tunnel that an ngrok agent leads to our port.
type Agent struct {
	cfg    AgentConfig
	client *http.Client
}

const (
	askTime = 3 * time.Second
	maxList = 1 << 20
)

// NewAgent asks nothing: [Agent.Run] does.
func NewAgent(cfg AgentConfig) (*Agent, error) {
	if cfg.API == "" || cfg.Port == "" || cfg.Opened == nil {
		return nil, errors.New("tunnel: API, Port and Opened are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Every <= 0 {
		cfg.Every = time.Second
	}
	return &Agent{cfg, &http.Client{
		Timeout:       askTime,
		Transport:     &http.Transport{IdleConnTimeout: time.Minute}, // no proxy: the agent is on this machine
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Run tells of the tunnel's URL and of each one that follows, until ctx ends.
// While there is none, the last one stands.
func (a *Agent) Run(ctx context.Context) error {
	defer a.client.CloseIdleConnections()
	told, trouble := "", ""
	for {
		public, err := a.look(ctx, told)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			a.cfg.Log.WarnContext(ctx, "waiting for the tunnel of the ngrok agent", "agent", a.cfg.API, "err", err)
		case err != nil:
		case public != told || trouble != "":
			a.cfg.Log.InfoContext(ctx, "the ngrok agent has a tunnel for us", "public_url", public)
			trouble = ""
			if public != told {
				told = public
				a.cfg.Opened(public)
			}
		}
		if !schedule.Sleep(ctx, a.cfg.Every) {
			return nil
		}
	}
}

// URL asks the agent once. The error says what to do.
func (a *Agent) URL(ctx context.Context) (string, error) {
	defer a.client.CloseIdleConnections()
	return a.look(ctx, "")
}

// look asks the agent once. Of several tunnels the one that was told stays, or
// else it is the first by name. The error says what to do.
func (a *Agent) look(ctx context.Context, told string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(a.cfg.API, "/")+"/api/tunnels", nil)
	if err != nil {
		return "", errors.New("NGROK_AGENT_URL is no base URL")
	}
	request.Header.Set("Accept", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("the agent does not answer: start it with: ngrok http %s: %w", a.cfg.Port, network(err))
	}
	defer response.Body.Close()
	var list struct {
		Tunnels *[]listed `json:"tunnels"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxList)).Decode(&list)
	if response.StatusCode != http.StatusOK || err != nil || list.Tunnels == nil {
		return "", fmt.Errorf("what answers there (status %d) is no ngrok agent: set NGROK_AGENT_URL to its web interface", response.StatusCode)
	}
	ours := slices.DeleteFunc(*list.Tunnels, func(l listed) bool { return l.port() != a.cfg.Port || !l.usable() })
	if len(ours) == 0 {
		return "", fmt.Errorf("the agent has no https tunnel to port %s: start one with: ngrok http %s", a.cfg.Port, a.cfg.Port)
	}
	slices.SortStableFunc(ours, func(x, y listed) int { return cmp.Compare(x.Name, y.Name) })
	if i := slices.IndexFunc(ours, func(l listed) bool { return l.base() == told }); i >= 0 {
		return told, nil
	}
	return ours[0].base(), nil
}

// listed is a tunnel as the agent lists it.
type listed struct {
	Name      string `json:"name"`
	PublicURL string `json:"public_url"`
	Config    struct {
		Addr string `json:"addr"` // such as http://localhost:8080
	} `json:"config"`
}

func (l listed) base() string { return strings.TrimRight(l.PublicURL, "/") }

// port is where the tunnel ends on this machine.
func (l listed) port() string {
	addr := l.Config.Addr
	if _, rest, ok := strings.Cut(addr, "://"); ok {
		addr = rest
	}
	addr, _, _ = strings.Cut(addr, "/")
	if _, port, err := net.SplitHostPort(addr); err == nil {
		return port
	}
	return addr
}

// usable says whether Graph calls such a URL, or, on loopback, a local Graph.
func (l listed) usable() bool {
	u, err := url.Parse(l.PublicURL)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

// network returns what went wrong with a connection, without the request.
func network(err error) error {
	if wrapped, ok := errors.AsType[*net.OpError](err); ok {
		return wrapped
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return errors.New("no connection")
}
