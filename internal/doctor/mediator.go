package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// toMediator has remedies for calls to the mediator.
var toMediator = remedies{
	noName:    "check the host in MEDIATOR_URL, and this machine's DNS",
	refused:   "start the mediator, or correct host and port in MEDIATOR_URL",
	noTLS:     "use http:// in MEDIATOR_URL, or the port on which the mediator speaks TLS",
	wrongHost: "use the name that its certificate is for in MEDIATOR_URL",
	cut:       "use https:// in MEDIATOR_URL if the mediator speaks TLS, and check its log",
	other:     "let this machine reach it: check firewall, route, and host and port in MEDIATOR_URL",
}

const (
	// ownPage is how this program's answer to GET / begins.
	ownPage  = "EXCHANGE OOO MAIN PAGE"
	setToken = "set MEDIATOR_TOKEN to the token that the mediator wants"

	statePath = "/api/setstatus"
	// otherPath is one that no mediator has. What it answers there says nothing about
	// statePath.
	otherPath = "/api/outlook-monitor-doctor"

	cannotTell    = "can't tell whether it has " + statePath
	checkDelivery = "check host, port and path in MEDIATOR_URL, and after the start the first delivery: outlook-monitor users show EMAIL"
)

// mediator asks for what has no effect: whether the mediator answers, and whether it has
// the path to which states are sent. It fails only for what holds for a POST too.
func (e *examination) mediator(ctx context.Context) Result {
	base, err := e.cfg.Settings.MediatorURL.Parse()
	if err != nil || base.Host == "" {
		return skipped("set MEDIATOR_URL first")
	}
	root, err := e.askMediator(ctx, base, http.MethodGet, "/")
	if err != nil {
		return toMediator.failure(err, base.Host)
	}
	says := fmt.Sprintf("it answers %d", root.status)
	switch {
	case strings.HasPrefix(root.body, ownPage):
		return failed("MEDIATOR_URL leads to outlook-monitor itself", "set it to the mediator's address; the mediator needs this one's")
	case root.status == http.StatusProxyAuthRequired:
		return failed(says+": the proxy in HTTP_PROXY wants a login", "put user and password into HTTP_PROXY, or name the host in NO_PROXY")
	case root.wantsTLS():
		return failed(says+": it speaks TLS on this port", "use https:// in MEDIATOR_URL")
	case root.status >= 500 && root.status != http.StatusNotImplemented: // the service takes it for unreachable too
		return failed(says, "check the mediator's log, or the proxy in front of it")
	}
	states, err := e.askMediator(ctx, base, http.MethodOptions, statePath)
	if err != nil {
		_, text := causeOf(err, base.Host)
		return warning(fmt.Sprintf("no answer to OPTIONS %s (%s): %s", statePath, printable(text), cannotTell), checkDelivery)
	}
	if result := e.elsewhere(base, root, states); result.Status != OK {
		return result
	}
	other, err := e.askMediator(ctx, base, http.MethodOptions, otherPath)
	if err != nil || !states.routed(other) {
		return warning(fmt.Sprintf("it answers %d to OPTIONS %s: %s", states.status, statePath, cannotTell), checkDelivery)
	}
	if _, local := internal(ctx, base.Hostname()); base.Scheme == "http" && !local {
		return warning("token and texts are sent to a public address without TLS", "use https:// in MEDIATOR_URL, if the mediator can")
	}
	return ok("answers in %s, has %s, %s", short(root.took), statePath, root.security())
}

// elsewhere judges answers that may come from a proxy or a login in front of the
// mediator; it is OK if they don't.
func (e *examination) elsewhere(base *url.URL, root, states answer) Result {
	says := fmt.Sprintf("OPTIONS %s is answered with %d", statePath, states.status)
	switch states.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return failed(says, "check the mediator, and the proxy in front of it")
	case http.StatusUnauthorized, http.StatusForbidden:
		if e.refusesLogin(base, states) {
			return failed(fmt.Sprintf("it answers %d to the token in MEDIATOR_TOKEN or MEDIATOR_URL", states.status), setToken)
		}
		return warning(says+": "+cannotTell, setToken+", if it wants one; "+checkDelivery)
	}
	if states.status/100 != 3 {
		return ok("")
	}
	if root.leaves(base) && states.leaves(base) {
		return failed(fmt.Sprintf("it answers %d, a redirect to %s", root.status, root.target(base)),
			"set MEDIATOR_URL to the final address: redirects are not followed")
	}
	return warning(fmt.Sprintf("%s, a redirect to %s: %s", says, states.target(base), cannotTell),
		"set MEDIATOR_URL so that POST is not redirected: redirects are not followed; "+checkDelivery)
}

// refusesLogin reports whether a refuses the credentials that were sent, not just their
// absence or the method: it asks for the same kind again.
func (e *examination) refusesLogin(base *url.URL, a answer) bool {
	sent := ""
	switch {
	case !e.cfg.Settings.MediatorToken.IsZero():
		sent = "Bearer"
	case base.User != nil:
		sent = "Basic"
	}
	return a.status == http.StatusUnauthorized && sent != "" && slices.ContainsFunc(a.header.Values("WWW-Authenticate"), func(challenge string) bool {
		kind, _, _ := strings.Cut(challenge, " ")
		return strings.EqualFold(kind, sent)
	})
}

// wantsTLS reports whether a is how Go, nginx and Apache answer HTTP at a port for HTTPS.
func (a answer) wantsTLS() bool {
	return a.tls == nil && a.status == http.StatusBadRequest &&
		(strings.Contains(a.body, "HTTP request to an HTTPS server") ||
			strings.Contains(a.body, "HTTP request was sent to HTTPS port") ||
			strings.Contains(a.body, "plain HTTP to an SSL-enabled server port"))
}

// leaves reports whether a redirects to another host, or from http to https: as what
// stands in front of a program does, whatever the method.
func (a answer) leaves(base *url.URL) bool {
	to, err := base.Parse(a.header.Get("Location"))
	return a.status/100 == 3 && err == nil && (to.Host != base.Host || to.Scheme != base.Scheme)
}

// routed reports whether a, an answer to OPTIONS, shows that the path exists and takes a POST;
// other is what a path is answered that does not exist. An Allow without POST shows nothing:
// Starlette names only the methods of its first route for a path.
func (a answer) routed(other answer) bool {
	if a.status/100 != 2 && a.status/100 != 4 || a.status == http.StatusNotFound || a.status == http.StatusGone {
		return false
	}
	allowed := strings.Join(a.header.Values("Allow"), ",")
	if allowed == "" {
		return other.status == http.StatusNotFound
	}
	return strings.Contains(strings.ToUpper(allowed), http.MethodPost) &&
		(other.status != a.status || strings.Join(other.header.Values("Allow"), ",") != allowed)
}

// askMediator calls it with the credentials of the service.
func (e *examination) askMediator(ctx context.Context, base *url.URL, method, path string) (answer, error) {
	address, header := base.JoinPath(path), http.Header{}
	if token := e.cfg.Settings.MediatorToken; !token.IsZero() {
		address.User = nil // what it says is sent as basic auth otherwise
		header.Set("Authorization", "Bearer "+token.Reveal())
	}
	return ask(ctx, e.client, method, address, header)
}
