package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

var mediatorRemedies = remedies{
	unknownHost: "check the host in MEDIATOR_URL, and this machine's DNS",
	refused:     "start the mediator, or correct host and port in MEDIATOR_URL",
	noTLS:       "use http:// in MEDIATOR_URL, or the port on which the mediator speaks TLS",
	wrongHost:   "use the name that its certificate is for in MEDIATOR_URL",
	closed:      "use https:// in MEDIATOR_URL if the mediator speaks TLS, and check its log",
	other:       "let this machine reach it: check firewall, route, and host and port in MEDIATOR_URL",
}

const (
	// ownPage is the beginning of outlook-monitor's own response to GET /.
	ownPage  = "EXCHANGE OOO MAIN PAGE"
	setToken = "set MEDIATOR_TOKEN to the token that the mediator requires"

	statePath = "/api/setstatus"
	// unknownPath exists on no mediator. If the response there is the same as at statePath, it
	// says nothing about statePath.
	unknownPath = "/api/outlook-monitor-doctor"

	cannotTell    = "can't tell whether it has " + statePath
	checkDelivery = "check host, port and path in MEDIATOR_URL, and the first delivery after the start: outlook-monitor users show EMAIL"
)

// mediator checks, without side effects, whether the mediator answers and has the path to
// which states are sent. It fails only if a POST would fail too.
func (d *diagnosis) mediator(ctx context.Context) Result {
	base := d.cfg.Settings.MediatorURL.URL()
	root, err := d.callMediator(ctx, base, http.MethodGet, "/")
	if err != nil {
		return mediatorRemedies.failure(err, base.Host)
	}
	says := fmt.Sprintf("it answers %d", root.status)
	switch {
	case strings.HasPrefix(root.body, ownPage):
		return failed("MEDIATOR_URL leads to outlook-monitor itself", "set it to the mediator's address; the mediator is to have this one")
	case root.status == http.StatusProxyAuthRequired:
		return failed(says+": the proxy in HTTP_PROXY requires a login", "add user and password to HTTP_PROXY, or the host to NO_PROXY")
	case root.wantsTLS():
		return failed(says+": it speaks TLS on this port", "use https:// in MEDIATOR_URL")
	case root.status >= 500 && root.status != http.StatusNotImplemented: // the service treats this as unreachable too
		return failed(says, "check the mediator's log, or the proxy in front of it")
	}
	states, err := d.callMediator(ctx, base, http.MethodOptions, statePath)
	if err != nil {
		_, text := causeOf(err, base.Host)
		return warning(fmt.Sprintf("no answer to OPTIONS %s (%s): %s", statePath, sanitize(text), cannotTell), checkDelivery)
	}
	switch says = fmt.Sprintf("it answers %d to OPTIONS %s", states.status, statePath); {
	case states.status == http.StatusBadGateway, states.status == http.StatusServiceUnavailable, states.status == http.StatusGatewayTimeout:
		return failed(says, "check the mediator, and the proxy in front of it")
	case d.refusesLogin(base, states):
		return failed(fmt.Sprintf("it answers %d to the token in MEDIATOR_TOKEN or MEDIATOR_URL", states.status), setToken)
	case states.status == http.StatusUnauthorized, states.status == http.StatusForbidden:
		return warning(says+": "+cannotTell, setToken+", if it requires one; "+checkDelivery)
	case root.redirectsAway(base) && states.redirectsAway(base):
		return failed(fmt.Sprintf("it answers %d, a redirect to %s", root.status, root.redirectTarget(base)),
			"set MEDIATOR_URL to the final address: redirects are not followed")
	case states.status/100 == 3:
		return warning(fmt.Sprintf("%s, a redirect to %s: %s", says, states.redirectTarget(base), cannotTell),
			"set MEDIATOR_URL so that POST is not redirected: redirects are not followed; "+checkDelivery)
	}
	unknown, err := d.callMediator(ctx, base, http.MethodOptions, unknownPath)
	if err != nil || !states.hasRoute(unknown) {
		return warning(says+": "+cannotTell, checkDelivery)
	}
	if _, local := internalAddr(ctx, base.Hostname()); base.Scheme == "http" && !local {
		return warning("token and texts are sent to a public address without TLS", "use https:// in MEDIATOR_URL, if the mediator can")
	}
	return ok("answers in %s, has %s, %s", round(root.took), statePath, root.security())
}

// refusesLogin reports whether a response refuses the credentials that were sent, rather than
// the method: it asks for the same kind of credentials.
func (d *diagnosis) refusesLogin(base *url.URL, r response) bool {
	sent := ""
	switch {
	case !d.cfg.Settings.MediatorToken.IsZero():
		sent = "Bearer"
	case base.User != nil:
		sent = "Basic"
	}
	challenges := r.header.Values("WWW-Authenticate")
	return r.status == http.StatusUnauthorized && sent != "" && slices.ContainsFunc(challenges, func(challenge string) bool {
		scheme, _, _ := strings.Cut(challenge, " ")
		return strings.EqualFold(scheme, sent)
	})
}

// wantsTLS reports whether this is the response of Go, nginx or Apache to HTTP on a port for
// HTTPS.
func (r response) wantsTLS() bool {
	return r.tls == nil && r.status == http.StatusBadRequest &&
		(strings.Contains(r.body, "HTTP request to an HTTPS server") ||
			strings.Contains(r.body, "HTTP request was sent to HTTPS port") ||
			strings.Contains(r.body, "plain HTTP to an SSL-enabled server port"))
}

// redirectsAway reports whether this is a redirect to another host or from http to https,
// as proxies send for every method.
func (r response) redirectsAway(base *url.URL) bool {
	to, err := base.Parse(r.header.Get("Location"))
	return r.status/100 == 3 && err == nil && (to.Host != base.Host || to.Scheme != base.Scheme)
}

// hasRoute reports whether a response to OPTIONS shows that the path exists and accepts POST;
// unknown is the response at unknownPath. An Allow without POST shows nothing: Starlette
// names only the methods of its first route for a path.
func (r response) hasRoute(unknown response) bool {
	if r.status/100 != 2 && r.status/100 != 4 || r.status == http.StatusNotFound || r.status == http.StatusGone {
		return false
	}
	allowed := strings.Join(r.header.Values("Allow"), ",")
	if allowed == "" {
		return unknown.status == http.StatusNotFound
	}
	return strings.Contains(strings.ToUpper(allowed), http.MethodPost) &&
		(unknown.status != r.status || strings.Join(unknown.header.Values("Allow"), ",") != allowed)
}

// callMediator makes a request with the service's credentials.
func (d *diagnosis) callMediator(ctx context.Context, base *url.URL, method, path string) (response, error) {
	address, header := base.JoinPath(path), http.Header{}
	if token := d.cfg.Settings.MediatorToken; !token.IsZero() {
		address.User = nil // or it would be sent as basic auth
		header.Set("Authorization", "Bearer "+token.Reveal())
	}
	return call(ctx, d.client, method, address, header)
}
