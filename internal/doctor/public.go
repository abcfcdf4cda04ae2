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
	"slices"
	"strings"
	"time"

	"outlook-monitor/internal/config"
)

// renewal is when a certificate should have been renewed, even one that lives for
// days alone.
const renewal = 48 * time.Hour

// ends is when the certificate that was shown ends; zero: none was.
func (a answer) ends() time.Time {
	if a.tls == nil || len(a.tls.PeerCertificates) == 0 {
		return time.Time{}
	}
	return a.tls.PeerCertificates[0].NotAfter
}

// promptly is how fast Graph wants notifications answered.
const promptly = 3 * time.Second

// waysIn mends calls to PUBLIC_URL.
var waysIn = remedies{
	noName:     "make a DNS record for it, or mend the name in PUBLIC_URL; a tunnel's name may have changed at its last start",
	noResolver: "look at this machine's DNS; Graph may fare better, --subscribe --user EMAIL tells",
	refused:    "let the proxy or tunnel listen at this port, or write the right port into PUBLIC_URL; Graph comes to 443 unless it names another",
	silent:     "open the port in the firewall and forward it to the proxy or the service; if only this machine can't reach its own public name, --subscribe --user EMAIL tells",
	noRoute:    "look at the address that the name has in DNS",
	cut:        "look at the proxy's log: it closes the connection during the TLS handshake or the request",
	noTLS:      "let TLS end in the proxy, or here by TLS_CERT_FILE or ACME_DOMAINS: Graph speaks nothing else",
	untrusted:  "use a certificate of a public authority, with its whole chain in the file: Graph trusts no private one",
	wrongHost:  "get a certificate for the host in PUBLIC_URL, or mend PUBLIC_URL",
	expired:    "renew the certificate",
	proxyAway:  "mend HTTPS_PROXY, or name the host in NO_PROXY",
	other:      "ask the address from outside with: curl -i -X POST 'PUBLIC_URL/graph/notifications?validationToken=x'",
}

// public makes the handshake that Graph makes before it takes a subscription.
func (e *examination) public(ctx context.Context) verdict {
	if v := e.askAgent(ctx); v.status == Failed {
		return v
	}
	s := e.cfg.Settings
	if s.PublicURL.IsZero() && e.tunnelled() {
		return skipped("with TUNNEL=%s there is a URL only while outlook-monitor serve runs; /readyz then says whether Graph comes through", s.Tunnel.Kind)
	}
	if s.PublicURL.IsZero() {
		return warning(fmt.Sprintf("not set: no subscriptions, each mailbox is read every %v and nothing is seen sooner", s.PollInterval),
			"set PUBLIC_URL to an https address that leads here from the internet")
	}
	if e.absent != "" {
		return skipped("%s", e.absent)
	}
	base, err := s.PublicURL.Parse()
	if err != nil {
		return failed("it is no URL", "write one such as https://monitor.example.com")
	}
	private, of := e.private(ctx, base.Hostname())
	if private && of.IsLoopback() {
		return failed(fmt.Sprintf("%s is %s, this machine alone: Graph can't reach it", base.Host, of), "set PUBLIC_URL to the address under which the internet reaches this service")
	}
	var slowest time.Duration
	var last answer
	for _, path := range []string{e.cfg.NotificationPath, e.cfg.LifecyclePath} {
		a, v := e.shake(ctx, base.JoinPath(path))
		if v.status != OK {
			return v
		}
		slowest, last = max(slowest, a.took), a
	}
	switch ends := last.ends(); {
	case !ends.IsZero() && time.Until(ends) < renewal:
		return warning("the handshake works, but the certificate ends "+until(ends), "renew it: Graph comes no more when it has ended")
	case slowest > promptly:
		return warning(fmt.Sprintf("the handshake works, but took %s", took(slowest)),
			"find out what is slow in between: Graph holds notifications back from who takes more than 3 s")
	case private:
		return warning(fmt.Sprintf("the handshake works, but %s is %s here, which the internet can't reach", base.Hostname(), of),
			"if another address is told outside (split DNS), all is well: --subscribe --user EMAIL proves it")
	}
	return well("the handshake works at %s in %s, %s", s.PublicURL, took(slowest), secured(last.tls))
}

// askAgent has the URL of an agent's tunnel looked at from now on. The verdict is
// Failed if there is none.
func (e *examination) askAgent(ctx context.Context) verdict {
	if e.cfg.Settings.Tunnel.Kind != config.AgentTunnel || e.cfg.Agent == nil {
		return verdict{}
	}
	public, err := e.cfg.Agent(ctx)
	if err != nil {
		found, remedy := sentence(err.Error())
		return failed(found, cmp.Or(remedy, "look at the ngrok agent"))
	}
	e.cfg.Settings.PublicURL = config.NewURL(public)
	return verdict{}
}

// tunnelled says whether the service gets its public URL from a tunnel.
func (e *examination) tunnelled() bool {
	kind := e.cfg.Settings.Tunnel.Kind
	return kind == config.NgrokTunnel || kind == config.AgentTunnel
}

// private says whether the host has inner addresses alone, and one of them. For a
// Graph that is an inner one itself, that is well.
func (e *examination) private(ctx context.Context, host string) (bool, netip.Addr) {
	graph, err := url.Parse(e.cfg.Endpoint)
	if err == nil && allInner(addresses(ctx, graph.Hostname())) {
		return false, netip.Addr{}
	}
	found := addresses(ctx, host)
	if !allInner(found) {
		return false, netip.Addr{}
	}
	return true, found[0].Unmap()
}

// addresses looks a host up; none is found for a name that does not exist.
func addresses(ctx context.Context, host string) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	return found
}

func allInner(all []netip.Addr) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(ip netip.Addr) bool { return !inner(ip) })
}

// newValidationToken returns a token with all that proxies are known to spoil.
func newValidationToken() string {
	return "Validation: outlook-monitor doctor a+b 100% c&d=e f/g \"h\" é " + rand.Text()
}

// escape spells a token as Graph does: + for a space, escapes in lower case.
func escape(token string) string {
	var spelled strings.Builder
	text := url.QueryEscape(token)
	for i := 0; i < len(text); i++ {
		if text[i] == '%' {
			spelled.WriteString(strings.ToLower(text[i : i+3]))
			i += 2
			continue
		}
		spelled.WriteByte(text[i])
	}
	return spelled.String()
}

// shake makes one handshake. The verdict is OK, or says what is in the way.
func (e *examination) shake(ctx context.Context, address *url.URL) (answer, verdict) {
	token := newValidationToken()
	asked := *address
	asked.RawQuery = "validationToken=" + escape(token)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, asked.String(), http.NoBody)
	if err != nil {
		return answer{}, failed("it makes no request", "write PUBLIC_URL such as https://monitor.example.com")
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	a, err := e.ask(request)
	if err != nil {
		why, text := causeOf(err, address.Host)
		return a, failed(text, waysIn.of(why))
	}
	return a, e.judge(ctx, shaken{answer: a, token: token, address: address})
}
