package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// toMediator has remedies for calls to the mediator.
var toMediator = remedies{
	noName:    "check the host in MEDIATOR_URL, and this machine's DNS",
	refused:   "start the mediator, or correct host and port in MEDIATOR_URL",
	noTLS:     "use http:// in MEDIATOR_URL, or the port at which the mediator speaks TLS",
	wrongHost: "use the name that its certificate is for in MEDIATOR_URL",
	cut:       "use https:// in MEDIATOR_URL if the mediator speaks TLS, and check its log",
	other:     "let this machine reach it: check firewall, route, and host and port in MEDIATOR_URL",
}

const (
	// ownPage is how this program's answer to GET / begins.
	ownPage  = "EXCHANGE OOO MAIN PAGE"
	setToken = "set MEDIATOR_TOKEN to the token that the mediator wants"
)

// mediator asks for what has no effect: whether it answers, and whether it has the
// path to which states are sent.
func (e *examination) mediator(ctx context.Context) Result {
	base, err := e.cfg.Settings.MediatorURL.Parse()
	if err != nil || base.Host == "" {
		return skipped("set MEDIATOR_URL first")
	}
	root, err := e.askMediator(ctx, base, http.MethodGet, "/")
	if err != nil {
		return toMediator.trouble(err, base.Host)
	}
	says := fmt.Sprintf("it answers %d", root.status)
	switch {
	case strings.HasPrefix(root.body, ownPage):
		return failed("MEDIATOR_URL leads to outlook-monitor itself", "set it to the mediator's address; the mediator needs this one's")
	case root.status/100 == 3:
		return failed(says+", a redirect to "+root.target(base), "set MEDIATOR_URL to the final address: redirects are not followed")
	case root.status == http.StatusUnauthorized, root.status == http.StatusForbidden:
		return failed(says, setToken)
	case root.status >= 500:
		return failed(says, "check the mediator's log, or the proxy in front of it")
	}
	states, err := e.askMediator(ctx, base, http.MethodOptions, "/api/setstatus")
	if err != nil {
		_, text := causeOf(err, base.Host)
		return failed("its /api/setstatus does not answer: "+printable(text), "check the mediator's log")
	}
	switch _, local := internal(ctx, base.Hostname()); {
	case states.status == http.StatusNotFound && root.status == http.StatusNotFound:
		// Express answers so to all methods that a path has no handler for.
		return warning("it answers 404 to anything but POST: can't tell whether it has /api/setstatus",
			"check host, port and path in MEDIATOR_URL, and after the start the first delivery: outlook-monitor users show EMAIL")
	case states.status == http.StatusNotFound:
		return failed("it answers, but has no /api/setstatus", "check host, port and path in MEDIATOR_URL: another program may be there")
	case states.status == http.StatusUnauthorized, states.status == http.StatusForbidden:
		return warning(fmt.Sprintf("/api/setstatus answers %d", states.status), setToken)
	case base.Scheme == "http" && !local:
		return warning("token and texts go there without TLS, over a public address", "use https:// in MEDIATOR_URL, if the mediator can")
	}
	return ok("answers in %s, has /api/setstatus, %s", short(root.took), root.security())
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
