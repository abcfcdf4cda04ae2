package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// toMediator mends calls to the mediator.
var toMediator = remedies{
	noName:     "look at the host in MEDIATOR_URL, and at this machine's DNS",
	noResolver: "look at this machine's DNS",
	refused:    "start the mediator, or look at host and port in MEDIATOR_URL",
	noTLS:      "write http:// into MEDIATOR_URL, or the port at which the mediator speaks TLS",
	untrusted:  "add the authority of its certificate to the system's, or name it in SSL_CERT_FILE",
	wrongHost:  "write the name that its certificate is for into MEDIATOR_URL",
	expired:    "renew the mediator's certificate",
	proxyAway:  "mend HTTP_PROXY and HTTPS_PROXY, or name the mediator in NO_PROXY",
	cut:        "write https:// into MEDIATOR_URL if the mediator speaks TLS, and look at its log",
	other:      "let this machine reach it: firewall, route, host and port in MEDIATOR_URL",
}

// ownPage begins what this program answers to GET /.
const ownPage = "EXCHANGE OOO MAIN PAGE"

// mediator asks for what has no effect: whether it answers, and whether it knows
// where states are sent to.
func (e *examination) mediator(ctx context.Context) verdict {
	base, err := e.cfg.Settings.MediatorURL.Parse()
	if err != nil || base.Host == "" {
		return skipped("MEDIATOR_URL must be set first")
	}
	a, err := e.askMediator(ctx, base, http.MethodGet, "/")
	if err != nil {
		why, text := causeOf(err, base.Host)
		return failed(text, toMediator.of(why))
	}
	switch {
	case strings.HasPrefix(a.body, ownPage):
		return failed("MEDIATOR_URL leads to outlook-monitor itself", "write the mediator's address into MEDIATOR_URL; it is the other way round that the mediator must know this one")
	case a.status/100 == 3:
		return failed(fmt.Sprintf("it redirects (%d) to %s", a.status, shaken{answer: a, address: base}.target()), "redirects are not followed: write the final address into MEDIATOR_URL")
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return failed(fmt.Sprintf("it answers %d", a.status), "write the token that the mediator wants into MEDIATOR_TOKEN")
	case a.status >= 500:
		return failed(fmt.Sprintf("it answers %d", a.status), "look at the mediator's log, or at the proxy in front of it")
	}
	told, err := e.askMediator(ctx, base, http.MethodOptions, "/api/setstatus")
	switch {
	case err != nil:
		_, text := causeOf(err, base.Host)
		return failed("its /api/setstatus does not answer: "+text, "look at the mediator's log")
	case told.status == http.StatusNotFound:
		return failed("it answers, but has no /api/setstatus", "look at host, port and path in MEDIATOR_URL: another program may be there")
	case told.status == http.StatusUnauthorized, told.status == http.StatusForbidden:
		return warning(fmt.Sprintf("/api/setstatus answers %d", told.status), "write the token that the mediator wants into MEDIATOR_TOKEN")
	}
	if e.exposed(ctx, base) {
		return warning("it answers, but token and texts go there without TLS, over a public address", "write https:// into MEDIATOR_URL, if the mediator can")
	}
	return well("answers in %s, knows /api/setstatus, %s", took(a.took), secured(a.tls))
}

// askMediator asks as the service does.
func (e *examination) askMediator(ctx context.Context, base *url.URL, method, path string) (answer, error) {
	bare := *base
	bare.User = nil
	request, err := http.NewRequestWithContext(ctx, method, bare.JoinPath(path).String(), http.NoBody)
	if err != nil {
		return answer{}, err
	}
	if token := e.cfg.Settings.MediatorToken; !token.IsZero() {
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
	} else if base.User != nil {
		password, _ := base.User.Password()
		request.SetBasicAuth(base.User.Username(), password)
	}
	return e.ask(request)
}

// exposed says whether what the mediator is told can be read on the way.
func (e *examination) exposed(ctx context.Context, base *url.URL) bool {
	if base.Scheme == "https" {
		return false
	}
	if ip, err := netip.ParseAddr(base.Hostname()); err == nil {
		return !inner(ip)
	}
	found := addresses(ctx, base.Hostname())
	return len(found) > 0 && !allInner(found)
}
