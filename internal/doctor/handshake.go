package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// shaken is what came back from a handshake.
type shaken struct {
	answer
	token   string
	address *url.URL
}

// judge says what an answer to a handshake means. The first case that fits is the
// most telling one.
func (e *examination) judge(ctx context.Context, s shaken) verdict {
	kind := s.header.Get("Content-Type")
	switch {
	case s.status == http.StatusOK && s.body == s.token && strings.HasPrefix(kind, "text/plain"):
		return verdict{status: OK}
	case s.status == http.StatusOK && s.body == s.token:
		return failed("the answer comes as "+kind+" instead of text/plain", "let the proxy leave Content-Type as it is")
	case s.tunnel() != "":
		return failed(s.tunnel(), "start the tunnel again, and put its present https address into PUBLIC_URL")
	case s.status/100 == 3:
		return failed(fmt.Sprintf("it redirects (%d) to %s", s.status, s.target()),
			"Graph follows no redirect: put the final address into PUBLIC_URL, and keep "+e.cfg.NotificationPath+" and "+e.cfg.LifecyclePath+" free of a login")
	case s.status == http.StatusOK && s.page():
		return failed("a page of HTML comes back: a login, or a warning page of a tunnel or proxy"+s.title(),
			"keep the paths under "+graphPaths(e)+" free of it; with ngrok, use a plan or a domain without its browser warning")
	case s.status == http.StatusOK && s.encodedAgain():
		return failed("the query is encoded twice on its way, or decoded twice", "let the proxy pass the query on as it came (nginx: proxy_pass without a path; no rewriting)")
	case s.status == http.StatusOK:
		return failed("something else than the service answers 200", "look where the proxy, or PUBLIC_URL, leads to")
	case s.status == http.StatusBadRequest && e.isOurs(ctx, s.address.String()):
		return failed("the service is reached, but the query is lost or changed on its way", "let the proxy pass the query on as it came, with +, % and & in it")
	case s.oursMissing():
		return failed("the service is reached, but under another path than "+s.path(),
			"let the proxy pass the path on as it came, or put the prefix that it takes off into PUBLIC_URL")
	case s.status == http.StatusNotFound:
		return failed("another server answers 404 to "+s.path(), "let the proxy pass "+graphPaths(e)+" on to LISTEN_ADDR, or mend PUBLIC_URL")
	case s.status == http.StatusForbidden && len(e.cfg.Settings.PublicAllow) > 0:
		return warning("PUBLIC_ALLOW leaves this machine out, so that it can't be seen from here whether Graph comes through", "prove it with --subscribe --user EMAIL")
	case s.status == http.StatusUnauthorized, s.status == http.StatusForbidden, s.status == http.StatusProxyAuthRequired:
		return failed(fmt.Sprintf("it answers %d: a login or a firewall for web applications is in front", s.status), "keep the paths under "+graphPaths(e)+" free of it")
	case s.status == http.StatusMethodNotAllowed:
		return failed("another server is there, which takes no POST", "let the proxy pass "+graphPaths(e)+" on to LISTEN_ADDR, or mend PUBLIC_URL")
	case s.status == http.StatusBadGateway, s.status == http.StatusServiceUnavailable, s.status == http.StatusGatewayTimeout, s.status >= 520:
		return failed(fmt.Sprintf("the proxy answers %d: it does not reach the service behind it", s.status),
			"let it pass requests on to LISTEN_ADDR ("+e.cfg.Settings.ListenAddr+"), with http or https as the service speaks it")
	}
	return failed(fmt.Sprintf("it answers %d instead of 200", s.status), "look where the proxy, or PUBLIC_URL, leads to")
}

func (s shaken) path() string { return "/" + strings.TrimPrefix(s.address.Path, "/") }

// graphPaths is what the two paths begin with.
func graphPaths(e *examination) string {
	common := e.cfg.NotificationPath
	for !strings.HasPrefix(e.cfg.LifecyclePath, common) {
		common = common[:len(common)-1]
	}
	return common
}

// tunnel says what a tunnel itself answers, if it does.
func (s shaken) tunnel() string {
	code := s.header.Get("Ngrok-Error-Code")
	switch {
	case code == "ERR_NGROK_3200" || strings.Contains(s.body, "ERR_NGROK_3200"):
		return "ngrok says that this tunnel is offline (ERR_NGROK_3200)"
	case code != "" && code != "ERR_NGROK_6024": // the warning page
		return "ngrok itself answers: " + printable(code)
	}
	return ""
}

func (s shaken) page() bool {
	text := strings.ToLower(s.body)
	return strings.Contains(s.header.Get("Content-Type"), "html") || strings.Contains(text, "<html") || strings.Contains(text, "<!doctype")
}

// title quotes the title of a page, which mostly says whose it is.
func (s shaken) title() string {
	_, rest, ok := strings.Cut(s.body, "<title>")
	title, _, closed := strings.Cut(rest, "</title>")
	if title = printable(strings.TrimSpace(title)); !ok || !closed || title == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", title)
}

// target is where a redirect leads, without what may be secret in it.
func (s shaken) target() string {
	to, err := s.address.Parse(s.header.Get("Location"))
	if err != nil || to.Host == "" {
		return "another address"
	}
	return printable(to.Scheme + "://" + to.Host + to.Path)
}

// encodedAgain says whether the answer is the token, wrongly spelled.
func (s shaken) encodedAgain() bool {
	for text := s.body; ; {
		plain, err := url.QueryUnescape(text)
		if err != nil || plain == text {
			break
		}
		if plain == s.token {
			return true
		}
		text = plain
	}
	twice, err := url.QueryUnescape(s.token)
	return err == nil && twice == s.body || strings.HasPrefix(s.body, "Validation: outlook-monitor doctor")
}

// printable keeps what others sent short and harmless to a terminal.
func printable(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
	return fmt.Sprintf("%.120s", clean)
}
