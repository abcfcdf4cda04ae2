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

const (
	// graphPaths is the prefix of both paths that Graph calls.
	graphPaths = "/graph/"
	// tokenPrefix is the prefix of the doctor's validation tokens.
	tokenPrefix = "Validation: outlook-monitor doctor"
)

const (
	passQuery   = "make the proxy pass the query on unchanged, with +, % and & in it (nginx: proxy_pass without a path, no rewriting)"
	passPaths   = "make the proxy pass " + graphPaths + " on to LISTEN_ADDR, or correct PUBLIC_URL"
	checkURL    = "check where PUBLIC_URL, or the proxy, leads to"
	exemptPaths = "exempt the paths under " + graphPaths + " from it"
	exemptPages = exemptPaths + "; with ngrok, use a plan or a domain without its browser warning"
)

// handshakeResult interprets the response to a handshake. Specific cases come first.
func (d *diagnosis) handshakeResult(r response, token string, address *url.URL) Result {
	contentType, path := r.header.Get("Content-Type"), "/"+strings.TrimPrefix(address.Path, "/")
	switch code := r.ngrokError(); {
	case r.status == http.StatusOK && r.body == token && strings.HasPrefix(contentType, "text/plain"):
		return ok("")
	case r.status == http.StatusOK && r.body == token:
		return failed("the answer is "+sanitize(contentType)+" instead of text/plain", "make the proxy keep the Content-Type")
	case code != "":
		return failed("ngrok itself answers: "+code, cmp.Or(ngrokRemedies[code], "see https://ngrok.com/docs/errors/"+strings.ToLower(code)))
	case r.status/100 == 3:
		return failed(fmt.Sprintf("it redirects (%d) to %s", r.status, r.redirectTarget(address)),
			"set PUBLIC_URL to the final address, because Graph does not follow redirects; a login must not cover "+graphPaths)
	case r.status == http.StatusOK && r.isHTML():
		return failed("the answer is an HTML page: a login, or a warning page of a tunnel or proxy"+r.title(), exemptPages)
	case r.status == http.StatusOK && garbled(token, r.body):
		return failed("the query is encoded or decoded twice on the way", passQuery)
	case r.status == http.StatusOK:
		return failed("something other than the service answers 200", checkURL)
	case r.status == http.StatusBadRequest && r.header.Get("Cache-Control") == "no-store": // as package webhook answers
		return failed("the service is reached, but the query is lost or changed on the way", passQuery)
	case r.unknownPath():
		return failed("the service is reached, but under a path other than "+path,
			"make the proxy pass the path on unchanged, or add the prefix that it strips to PUBLIC_URL")
	case r.status == http.StatusNotFound:
		return failed("another server answers 404 to "+path, passPaths)
	case r.status == http.StatusForbidden && len(d.cfg.Settings.PublicAllow) > 0:
		return warning("PUBLIC_ALLOW excludes this machine, so it can't tell whether Graph gets through", proveIt)
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden, r.status == http.StatusProxyAuthRequired:
		return failed(fmt.Sprintf("it answers %d: there is a login or a web application firewall in front", r.status), exemptPaths)
	case r.status == http.StatusMethodNotAllowed:
		return failed("another server answers, which does not accept POST", passPaths)
	case r.status == http.StatusBadGateway, r.status == http.StatusServiceUnavailable, r.status == http.StatusGatewayTimeout, r.status >= 520:
		return failed(fmt.Sprintf("the proxy answers %d: it does not reach the service behind it", r.status),
			"make it pass requests on to LISTEN_ADDR ("+d.cfg.Settings.ListenAddr+"), by http or https like the service there")
	}
	return failed(fmt.Sprintf("it answers %d instead of 200", r.status), checkURL)
}

const tunnelOffline, tunnelTarget = "ERR_NGROK_3200", "ERR_NGROK_8012"

// ngrokRemedies are for those errors of ngrok that are repaired on this machine.
var ngrokRemedies = map[string]string{
	tunnelOffline: "this tunnel is offline: restart it; PUBLIC_URL must be its https address",
	tunnelTarget:  "the agent does not reach the service: make it forward to LISTEN_ADDR, by http or https like the service there",
}

// ngrokError returns the code of an error page of ngrok; empty: it is none.
func (r response) ngrokError() string {
	const browserWarning = "ERR_NGROK_6024"
	switch code := r.header.Get("Ngrok-Error-Code"); {
	case strings.Contains(r.body, tunnelOffline):
		return tunnelOffline
	case code != browserWarning:
		return sanitize(code)
	}
	return ""
}

func (r response) isHTML() bool {
	text := strings.ToLower(r.body)
	return strings.Contains(r.header.Get("Content-Type"), "html") || strings.Contains(text, "<html") || strings.Contains(text, "<!doctype")
}

var pageTitle = regexp.MustCompile(`(?s)<title>\s*(.+?)\s*</title>`)

// title quotes the title of an HTML page, which usually names its owner.
func (r response) title() string {
	if found := pageTitle.FindStringSubmatch(r.body); found != nil {
		return fmt.Sprintf(" (%q)", sanitize(found[1]))
	}
	return ""
}

// redirectTarget returns where a redirect of address leads, without the query, which may be
// secret.
func (r response) redirectTarget(address *url.URL) string {
	to, err := address.Parse(r.header.Get("Location"))
	if err != nil || to.Host == "" {
		return "another address"
	}
	return sanitize(to.Scheme + "://" + to.Host + to.Path)
}

// garbled reports whether text is the token encoded or decoded once too often, or the
// beginning of the token.
func garbled(token, text string) bool {
	decoded, err := url.QueryUnescape(text)
	return err == nil && decoded == token || strings.HasPrefix(text, tokenPrefix)
}
