package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

const (
	// graphPaths is what both paths that Graph calls begin with.
	graphPaths = "/graph/"
	// tokenBegin is how a validation token of ours begins.
	tokenBegin = "Validation: outlook-monitor doctor"
)

const (
	passQuery  = "let the proxy pass the query on unchanged, with +, % and & in it (nginx: proxy_pass without a path, no rewriting)"
	passPaths  = "let the proxy pass " + graphPaths + " on to LISTEN_ADDR, or correct PUBLIC_URL"
	whereTo    = "check where the proxy, or PUBLIC_URL, leads to"
	freePaths  = "exempt the paths under " + graphPaths + " from it"
	pagesOnWay = freePaths + "; with ngrok, use a plan or a domain without its browser warning"
)

// judge says what the answer to a handshake means. The first case that fits is the
// most specific one.
func (e *examination) judge(a answer, token string, address *url.URL) Result {
	kind, path := a.header.Get("Content-Type"), "/"+strings.TrimPrefix(address.Path, "/")
	switch ngrok := a.ngrokError(); {
	case a.status == http.StatusOK && a.body == token && strings.HasPrefix(kind, "text/plain"):
		return ok("")
	case a.status == http.StatusOK && a.body == token:
		return failed("the answer is "+printable(kind)+" instead of text/plain", "let the proxy leave Content-Type as it is")
	case ngrok != "":
		return failed(ngrok, "restart the tunnel, and set PUBLIC_URL to its https address")
	case a.status/100 == 3:
		return failed(fmt.Sprintf("it redirects (%d) to %s", a.status, a.target(address)),
			"set PUBLIC_URL to the final address, because Graph does not follow redirects; a login must not cover "+graphPaths)
	case a.status == http.StatusOK && a.page():
		return failed("the answer is an HTML page: a login, or a warning page of a tunnel or proxy"+a.title(), pagesOnWay)
	case a.status == http.StatusOK && misspelled(token, a.body):
		return failed("the query is encoded twice on its way, or decoded twice", passQuery)
	case a.status == http.StatusOK:
		return failed("something other than the service answers 200", whereTo)
	case a.status == http.StatusBadRequest && a.header.Get("Cache-Control") == "no-store": // as package webhook answers
		return failed("the service is reached, but the query is lost or changed on its way", passQuery)
	case a.unknownPath():
		return failed("the service is reached, but under a path other than "+path,
			"let the proxy pass the path on unchanged, or put the prefix that it strips into PUBLIC_URL")
	case a.status == http.StatusNotFound:
		return failed("another server answers 404 to "+path, passPaths)
	case a.status == http.StatusForbidden && len(e.cfg.Settings.PublicAllow) > 0:
		return warning("PUBLIC_ALLOW excludes this machine: it can't tell whether Graph gets through", proveIt)
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status == http.StatusProxyAuthRequired:
		return failed(fmt.Sprintf("it answers %d: a login or a web application firewall is in front", a.status), freePaths)
	case a.status == http.StatusMethodNotAllowed:
		return failed("another server is there, which does not accept POST", passPaths)
	case a.status == http.StatusBadGateway, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout, a.status >= 520:
		return failed(fmt.Sprintf("the proxy answers %d: it does not reach the service behind it", a.status),
			"let it pass requests on to LISTEN_ADDR ("+e.cfg.Settings.ListenAddr+"), with http or https as the service speaks it")
	}
	return failed(fmt.Sprintf("it answers %d instead of 200", a.status), whereTo)
}

// ngrokError is what ngrok itself answers; empty: it does not.
func (a answer) ngrokError() string {
	const offline, browserWarning = "ERR_NGROK_3200", "ERR_NGROK_6024"
	switch code := a.header.Get("Ngrok-Error-Code"); {
	case code == offline || strings.Contains(a.body, offline):
		return "ngrok says that this tunnel is offline (" + offline + ")"
	case code != "" && code != browserWarning:
		return "ngrok itself answers: " + printable(code)
	}
	return ""
}

func (a answer) page() bool {
	text := strings.ToLower(a.body)
	return strings.Contains(a.header.Get("Content-Type"), "html") || strings.Contains(text, "<html") || strings.Contains(text, "<!doctype")
}

var pageTitle = regexp.MustCompile(`(?s)<title>\s*(.+?)\s*</title>`)

// title quotes the title of a page, which mostly says whose it is.
func (a answer) title() string {
	if found := pageTitle.FindStringSubmatch(a.body); found != nil {
		return fmt.Sprintf(" (%q)", printable(found[1]))
	}
	return ""
}

// target is where a redirect of address leads, without what may be secret in it.
func (a answer) target(address *url.URL) string {
	to, err := address.Parse(a.header.Get("Location"))
	if err != nil || to.Host == "" {
		return "another address"
	}
	return printable(to.Scheme + "://" + to.Host + to.Path)
}

// misspelled reports whether text is the token, encoded or decoded once too often, or
// its beginning.
func misspelled(token, text string) bool {
	decoded, err := url.QueryUnescape(text)
	return err == nil && decoded == token || strings.HasPrefix(text, tokenBegin)
}
