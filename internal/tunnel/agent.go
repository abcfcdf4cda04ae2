package tunnel

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/schedule"
)

// Agent watches an ngrok agent on this machine for the tunnel to a port.
type Agent struct {
	API      string           // base URL of the agent's local API
	Port     string           // where the tunnel must end
	OnChange func(url string) // receives the URL of the tunnel, and an empty one when it is gone
	Log      *slog.Logger

	interval time.Duration // between two requests; 0: a second
}

// Run reports the URL of the tunnel whenever it changes, until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	public, failure := "", ""
	for {
		found, err := AgentURL(ctx, a.API, a.Port, public)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && err.Error() != failure:
			failure = err.Error()
			a.Log.WarnContext(ctx, "ngrok agent has no tunnel, retrying", "agent", a.API, "err", err)
			a.OnChange("")
		case err == nil && (found != public || failure != ""):
			public, failure = found, ""
			a.Log.InfoContext(ctx, "ngrok agent has a tunnel", "public_url", found)
			a.OnChange(found)
		}
		if !schedule.Sleep(ctx, cmp.Or(a.interval, time.Second)) {
			return nil
		}
	}
}

// client uses no proxy: the agent is on this machine.
var client = http.Client{
	Timeout:       3 * time.Second,
	Transport:     &http.Transport{IdleConnTimeout: 10 * time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

const maxList = 1 << 20 // bytes

// AgentURL asks the ngrok agent at the base URL of its API for the URL of the tunnel to a
// port: before if a tunnel still has that URL, and otherwise that of the first tunnel by
// name. The error says what is wrong and, after a colon, what to do.
func AgentURL(ctx context.Context, api, port, before string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(api, "/")+"/api/tunnels", nil)
	if err != nil {
		return "", errors.New("NGROK_AGENT_URL is not a base URL")
	}
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("the agent does not answer (%q): start it with: ngrok http %s", connError(err).Error(), port)
	}
	defer response.Body.Close()
	var list struct {
		Tunnels *[]agentTunnel `json:"tunnels"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxList)).Decode(&list)
	if response.StatusCode != http.StatusOK || err != nil || list.Tunnels == nil {
		return "", fmt.Errorf("NGROK_AGENT_URL is not an ngrok agent (status %d): set it to the agent's web interface", response.StatusCode)
	}
	matching := slices.DeleteFunc(*list.Tunnels, func(t agentTunnel) bool { return t.port() != port || !t.usable() })
	if len(matching) == 0 {
		return "", fmt.Errorf("the agent has no https tunnel to port %s: start one with: ngrok http %s", port, port)
	}
	if slices.ContainsFunc(matching, func(t agentTunnel) bool { return t.base() == before }) {
		return before, nil
	}
	return slices.MinFunc(matching, func(x, y agentTunnel) int { return cmp.Compare(x.Name, y.Name) }).base(), nil
}

// agentTunnel is a tunnel as the agent lists it.
type agentTunnel struct {
	Name      string `json:"name"`
	PublicURL string `json:"public_url"`
	Config    struct {
		Addr string `json:"addr"` // such as http://localhost:8080, localhost:8080 or 8080
	} `json:"config"`
}

func (t agentTunnel) base() string { return strings.TrimRight(t.PublicURL, "/") }

var agentAddr = regexp.MustCompile(`^(?:.*://)?(?:[^/]*:)?(\d+)(?:/.*)?$`)

// port returns where the tunnel ends on this machine.
func (t agentTunnel) port() string { return agentAddr.ReplaceAllString(t.Config.Addr, "$1") }

// usable reports whether Graph can call the URL: https, or http on loopback for a local
// Graph.
func (t agentTunnel) usable() bool {
	u, err := url.Parse(t.PublicURL)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

// connError returns the error of a connection without the request.
func connError(err error) error {
	if wrapped, ok := errors.AsType[*net.OpError](err); ok {
		return wrapped
	}
	if wrapped, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return wrapped
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return errors.New("no connection")
}
