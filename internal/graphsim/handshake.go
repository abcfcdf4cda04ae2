package graphsim

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// checkURL checks whether Graph would call rawURL: it must be https, or http on a
// loopback address.
func checkURL(property, rawURL string) *reply {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return invalidRequest(fmt.Sprintf("The value of property '%s' is not a valid URL.", property))
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return invalidRequest(fmt.Sprintf("Http scheme is not supported for property '%s', use https.", property))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// handshake POSTs a validation token to rawURL, which must answer with the token. The caller
// holds mu, which is released meanwhile.
func (s *Server) handshake(ctx context.Context, rawURL string) *reply {
	refuse := func(why string) *reply {
		return fail(http.StatusBadRequest, "ValidationError", "Subscription validation request failed. "+why)
	}
	token := "Validation: Testing client application reachability for subscription Request-Id: " + requestID()
	separator := "?"
	if strings.Contains(rawURL, "?") {
		separator = "&"
	}
	// Like Graph: lower-case escapes, and + for the space.
	target := rawURL + separator + "validationToken=" + strings.ReplaceAll(url.QueryEscape(token), "%3A", "%3a")
	var resp *http.Response
	var body []byte
	var err error
	s.unlocked(func() { resp, body, err = s.post(ctx, target, "text/plain; charset=utf-8", nil, s.cfg.RetryTimeout) })
	if errors.Is(err, context.DeadlineExceeded) {
		return refuse("The operation has timed out.")
	}
	if err != nil {
		return refuse("The notification endpoint can't be reached.")
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode != http.StatusOK:
		return refuse(fmt.Sprintf("Notification endpoint must respond with 200 OK to validation request, it was %d.", resp.StatusCode))
	case kind != "text/plain":
		return refuse("Notification endpoint must respond with text/plain.")
	case string(body) != token:
		return refuse("Validation token mismatch: the decoded token must be the whole answer.")
	}
	return nil
}
