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
	// minValidity should always be left: even certificates that are valid for a few days only
	// are renewed earlier.
	minValidity = 48 * time.Hour
	// maxResponseTime is how fast Graph wants notifications to be answered.
	maxResponseTime = 3 * time.Second
)

// proveIt is the remedy where this machine can't tell what Graph sees.
const proveIt = "let Graph try it with --subscribe --user EMAIL"

var publicURLRemedies = remedies{
	unknownHost: "create a DNS record for it, or correct PUBLIC_URL; a tunnel gets a new name when it restarts",
	noDNS:       "check this machine's DNS; Graph may still resolve it: " + proveIt,
	refused:     "make the proxy or tunnel listen on this port, or correct the port in PUBLIC_URL (443 without one)",
	timedOut:    "open the port in the firewall and forward it; if only this machine can't reach its public name, " + proveIt,
	closed:      "check the proxy's log: it closes the connection during the TLS handshake or the request",
	noTLS:       "terminate TLS in the proxy, or here with TLS_CERT_FILE or ACME_DOMAINS: Graph calls https only",
	untrusted:   "use a certificate of a public authority with the whole chain in the file: Graph trusts no private one",
	wrongHost:   "get a certificate for the host in PUBLIC_URL, or correct PUBLIC_URL",
	other:       "call it from outside: curl -i -X POST 'PUBLIC_URL/graph/notifications?validationToken=x'",
}

// public makes the handshake that Graph makes when a subscription is created.
func (d *diagnosis) public(ctx context.Context) Result {
	if d.cfg.Settings.Tunnel.Kind == config.AgentTunnel {
		_, port, _ := net.SplitHostPort(d.cfg.Settings.ListenAddr) // config has validated it
		found, err := tunnel.AgentURL(ctx, d.cfg.Settings.Tunnel.AgentURL.Reveal(), port, "")
		if err != nil {
			found, remedy := splitRemedy(err.Error())
			return failed(found, cmp.Or(remedy, "check the ngrok agent"))
		}
		d.cfg.Settings.PublicURL = config.NewURL(found)
	}
	s := d.cfg.Settings
	switch {
	case s.PublicURL.IsZero() && s.Tunnel.Used():
		return skipped("with TUNNEL=%s there is a URL only while outlook-monitor serve runs; see its /readyz", s.Tunnel.Kind)
	case s.PublicURL.IsZero():
		return warning(fmt.Sprintf("not set: no subscriptions, changes are only detected by the poll, every %v", s.PollInterval),
			"set PUBLIC_URL to an https address that leads here from the internet")
	case d.blocked(listenCheck) != "":
		return skipped("%s", d.blocked(listenCheck))
	case d.stop != nil && len(s.ACMEDomains) > 0:
		return skipped("only the running service has the certificate from ACME: start it, then run the doctor again")
	}
	base := s.PublicURL.URL()
	ip, private := d.internalOnly(ctx, base.Hostname())
	if private && ip.IsLoopback() {
		return failed(fmt.Sprintf("%s is %s, this machine only: Graph can't reach it", base.Host, ip),
			"set PUBLIC_URL to the address under which the internet reaches this service")
	}
	var slowest time.Duration
	var last response
	for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
		r, result := d.handshake(ctx, base.JoinPath(path))
		if result.Status != OK {
			return result
		}
		slowest, last = max(slowest, r.took), r
	}
	switch cert := last.certificate(); {
	case cert != nil && time.Until(cert.NotAfter) < minValidity:
		return warning("the handshake works, but the certificate expires "+formatExpiry(cert.NotAfter),
			"renew it: Graph does not accept an expired one")
	case slowest > maxResponseTime:
		return warning("the handshake works, but took "+round(slowest),
			"find out why: Graph delays notifications if responses take more than 3 s")
	case private:
		return warning(fmt.Sprintf("the handshake works, but %s is %s here, which the internet can't reach", base.Hostname(), ip),
			"if the host has another address outside (split DNS), this is fine: "+proveIt)
	}
	return ok("the handshake works at %s in %s, %s", s.PublicURL, round(slowest), last.security())
}

// internalOnly is internalAddr, but reports false if Graph is internal too, as the local Graph
// is: it reaches internal addresses.
func (d *diagnosis) internalOnly(ctx context.Context, host string) (netip.Addr, bool) {
	endpoint, _ := d.cfg.Login.Addresses()
	if graph, err := url.Parse(endpoint); err == nil {
		if _, local := internalAddr(ctx, graph.Hostname()); local {
			return netip.Addr{}, false
		}
	}
	return internalAddr(ctx, host)
}

// escapes matches percent-encoded bytes, which Graph writes in lower case.
var escapes = regexp.MustCompile(`%..`)

// handshake makes one handshake. The result is OK, or says what prevents it.
func (d *diagnosis) handshake(ctx context.Context, address *url.URL) (response, Result) {
	token := tokenPrefix + ` a+b 100% c&d=e f/g "h" é ` + rand.Text() // with all characters that proxies are known to garble
	target := *address
	target.RawQuery = "validationToken=" + escapes.ReplaceAllStringFunc(url.QueryEscape(token), strings.ToLower)
	r, err := call(ctx, d.client, http.MethodPost, &target, http.Header{"Content-Type": {"text/plain; charset=utf-8"}})
	if err != nil {
		return r, publicURLRemedies.failure(err, address.Host)
	}
	return r, d.handshakeResult(r, token, address)
}
