package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/tunnel"
	"outlook-monitor/internal/webhook"
)

const (
	// renewal is when a certificate should have been renewed, even one that is valid
	// for a few days only.
	renewal = 48 * time.Hour
	// maxAnswerTime is how fast Graph wants notifications answered.
	maxAnswerTime = 3 * time.Second
)

// proveIt is what to do where this machine can't tell what Graph sees.
const proveIt = "prove it with --subscribe --user EMAIL"

// toPublicURL has remedies for calls to PUBLIC_URL.
var toPublicURL = remedies{
	noName:     "create a DNS record for it, or correct PUBLIC_URL; a tunnel gets a new name when it restarts",
	noResolver: "check this machine's DNS; Graph may still resolve it: " + proveIt,
	refused:    "let the proxy or tunnel listen on this port, or set the right port in PUBLIC_URL; without one it is 443",
	timedOut:   "open the port in the firewall and forward it; if only this machine can't reach its own public name, " + proveIt,
	cut:        "check the proxy's log: it closes the connection during the TLS handshake or the request",
	noTLS:      "terminate TLS in the proxy, or here with TLS_CERT_FILE or ACME_DOMAINS: Graph calls https only",
	untrusted:  "use a certificate of a public authority with its whole chain in the file: Graph does not trust a private one",
	wrongHost:  "get a certificate for the host in PUBLIC_URL, or correct PUBLIC_URL",
	other:      "call it from outside: curl -i -X POST 'PUBLIC_URL/graph/notifications?validationToken=x'",
}

// public makes the handshake that Graph makes before it accepts a subscription.
func (e *examination) public(ctx context.Context) Result {
	if e.cfg.Settings.Tunnel.Kind == config.AgentTunnel {
		_, port, _ := net.SplitHostPort(e.cfg.Settings.ListenAddr) // config has checked it
		found, err := tunnel.AgentURL(ctx, e.cfg.Settings.Tunnel.AgentURL.Reveal(), port)
		if err != nil {
			found, remedy := split(err.Error())
			return failed(found, cmp.Or(remedy, "check the ngrok agent"))
		}
		e.cfg.Settings.PublicURL = config.NewURL(found)
	}
	s := e.cfg.Settings
	switch {
	case s.PublicURL.IsZero() && e.tunnelled():
		return skipped("with TUNNEL=%s there is a URL only while outlook-monitor serve runs; see its /readyz", s.Tunnel.Kind)
	case s.PublicURL.IsZero():
		return warning(fmt.Sprintf("not set: no subscriptions, changes are only detected by the poll, every %v", s.PollInterval),
			"set PUBLIC_URL to an https address that leads here from the internet")
	case e.blocked(listenCheck) != "":
		return skipped("%s", e.blocked(listenCheck))
	case e.stop != nil && len(s.ACMEDomains) > 0:
		return skipped("only the running service has the certificate from ACME: start it, then run this again")
	}
	base, err := s.PublicURL.Parse()
	if err != nil {
		return failed("it is not a URL", "set PUBLIC_URL such as https://monitor.example.com")
	}
	ip, private := e.unreachable(ctx, base.Hostname())
	if private && ip.IsLoopback() {
		return failed(fmt.Sprintf("%s is %s, this machine only: Graph can't reach it", base.Host, ip),
			"set PUBLIC_URL to the address under which the internet reaches this service")
	}
	var slowest time.Duration
	var last answer
	for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
		a, result := e.handshake(ctx, base.JoinPath(path))
		if result.Status != OK {
			return result
		}
		slowest, last = max(slowest, a.took), a
	}
	switch shown := last.certificate(); {
	case shown != nil && time.Until(shown.NotAfter) < renewal:
		return warning("the handshake works, but the certificate expires "+until(shown.NotAfter), "renew it: Graph does not accept an expired one")
	case slowest > maxAnswerTime:
		return warning("the handshake works, but took "+short(slowest), "find out why: Graph delays notifications if it takes more than 3 s")
	case private:
		return warning(fmt.Sprintf("the handshake works, but %s is %s here, which the internet can't reach", base.Hostname(), ip),
			"with another address outside (split DNS) this is right: "+proveIt)
	}
	return ok("the handshake works at %s in %s, %s", s.PublicURL, short(slowest), last.security())
}

// tunnelled reports whether the service gets its public URL from a tunnel.
func (e *examination) tunnelled() bool {
	kind := e.cfg.Settings.Tunnel.Kind
	return kind == config.NgrokTunnel || kind == config.AgentTunnel
}

// unreachable reports whether the host has internal addresses only, and one of them. A
// Graph that is internal itself reaches it.
func (e *examination) unreachable(ctx context.Context, host string) (netip.Addr, bool) {
	if graph, err := url.Parse(e.cfg.Endpoint); err == nil {
		if _, local := internal(ctx, graph.Hostname()); local {
			return netip.Addr{}, false
		}
	}
	return internal(ctx, host)
}

// escapes are what Graph writes in lower case.
var escapes = regexp.MustCompile(`%..`)

// handshake makes one handshake. The result is OK, or says what is in the way.
func (e *examination) handshake(ctx context.Context, address *url.URL) (answer, Result) {
	token := tokenBegin + ` a+b 100% c&d=e f/g "h" é ` + rand.Text() // with all that proxies are known to spoil
	asked := *address
	asked.RawQuery = "validationToken=" + escapes.ReplaceAllStringFunc(url.QueryEscape(token), strings.ToLower)
	a, err := ask(ctx, e.client, http.MethodPost, &asked, http.Header{"Content-Type": {"text/plain; charset=utf-8"}})
	if err != nil {
		return a, toPublicURL.failure(err, address.Host)
	}
	return a, e.judge(a, token, address)
}
