package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

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
	switch ngrok := r.ngrokError(); {
	case r.status == http.StatusOK && r.body == token && strings.HasPrefix(contentType, "text/plain"):
		return ok("")
	case r.status == http.StatusOK && r.body == token:
		return failed("the answer is "+sanitize(contentType)+" instead of text/plain", "make the proxy keep the Content-Type")
	case ngrok != "":
		return failed(ngrok, "restart the tunnel, and set PUBLIC_URL to its https address")
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

// ngrokError describes an error page of ngrok; empty: it is none.
func (r response) ngrokError() string {
	const offline, browserWarning = "ERR_NGROK_3200", "ERR_NGROK_6024"
	switch code := r.header.Get("Ngrok-Error-Code"); {
	case code == offline || strings.Contains(r.body, offline):
		return "ngrok says that this tunnel is offline (" + offline + ")"
	case code != "" && code != browserWarning:
		return "ngrok itself answers: " + sanitize(code)
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
