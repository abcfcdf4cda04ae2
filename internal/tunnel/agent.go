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

// Agent follows the tunnel of an ngrok agent on this machine that leads to our port.
type Agent struct {
	API    string           // base URL of the agent's local API
	Port   string           // that the tunnel must lead to
	Opened func(url string) // receives each new URL
	Log    *slog.Logger

	every time.Duration // between two requests; 0: a second
}

// Run reports the tunnel's URL and each one that follows, until ctx ends. While
// there is none, the last one stays valid.
func (a *Agent) Run(ctx context.Context) error {
	public, failed := "", ""
	for {
		found, err := agentURL(ctx, a.API, a.Port, public)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && err.Error() != failed:
			failed = err.Error()
			a.Log.WarnContext(ctx, "no tunnel of the ngrok agent, retrying", "agent", a.API, "err", err)
		case err == nil && (found != public || failed != ""):
			a.Log.InfoContext(ctx, "the ngrok agent has a tunnel", "public_url", found)
			failed = ""
			if found != public {
				public = found
				a.Opened(found)
			}
		}
		if !schedule.Sleep(ctx, cmp.Or(a.every, time.Second)) {
			return nil
		}
	}
}

// AgentURL asks an ngrok agent, by the base URL of its API, for the URL of the tunnel
// that leads to a port. The error says what is wrong, and after a colon what to do.
func AgentURL(ctx context.Context, api, port string) (string, error) {
	return agentURL(ctx, api, port, "")
}

// agent asks without a proxy: the agent is on this machine.
var agent = http.Client{
	Timeout:       3 * time.Second,
	Transport:     &http.Transport{IdleConnTimeout: 10 * time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

const maxList = 1 << 20 // bytes of the agent's answer that are read

// agentURL prefers, of several tunnels, the one with the URL of before, then the first by
// name.
func agentURL(ctx context.Context, api, port, before string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(api, "/")+"/api/tunnels", nil)
	if err != nil {
		return "", errors.New("NGROK_AGENT_URL is no base URL")
	}
	response, err := agent.Do(request)
	if err != nil {
		return "", fmt.Errorf("the agent does not answer: start it with: ngrok http %s: %w", port, network(err))
	}
	defer response.Body.Close()
	var list struct {
		Tunnels *[]listed `json:"tunnels"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxList)).Decode(&list)
	if response.StatusCode != http.StatusOK || err != nil || list.Tunnels == nil {
		return "", fmt.Errorf("what answers there (status %d) is no ngrok agent: set NGROK_AGENT_URL to its web interface", response.StatusCode)
	}
	ours := slices.DeleteFunc(*list.Tunnels, func(l listed) bool { return l.port() != port || !l.usable() })
	if len(ours) == 0 {
		return "", fmt.Errorf("the agent has no https tunnel to port %s: start one with: ngrok http %s", port, port)
	}
	if slices.ContainsFunc(ours, func(l listed) bool { return l.base() == before }) {
		return before, nil
	}
	return slices.MinFunc(ours, func(x, y listed) int { return cmp.Compare(x.Name, y.Name) }).base(), nil
}

// listed is a tunnel as the agent lists it.
type listed struct {
	Name      string `json:"name"`
	PublicURL string `json:"public_url"`
	Config    struct {
		Addr string `json:"addr"` // such as http://localhost:8080, localhost:8080 or 8080
	} `json:"config"`
}

func (l listed) base() string { return strings.TrimRight(l.PublicURL, "/") }

// port is where the tunnel ends on this machine.
func (l listed) port() string {
	_, addr, found := strings.Cut(l.Config.Addr, "://")
	if !found {
		addr = l.Config.Addr
	}
	addr, _, _ = strings.Cut(addr, "/")
	return addr[strings.LastIndex(addr, ":")+1:]
}

// usable reports whether Graph calls such a URL, or, on loopback, a local Graph.
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
