package graphsim

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// checkURL says whether Graph would call rawURL: https, or here also http on
// this machine.
func checkURL(property, rawURL string) *apiError {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return &apiError{"InvalidRequest", fmt.Sprintf("The value of property '%s' is not a valid URL.", property)}
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return &apiError{"InvalidRequest", fmt.Sprintf("Http scheme is not supported for property '%s', use https.", property)}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// handshake asks every URL, each once, to prove that it wants notifications.
func (s *Server) handshake(ctx context.Context, urls ...string) *apiError {
	for i, u := range urls {
		if u == "" || i > 0 && u == urls[0] {
			continue
		}
		if err := s.outbox.validate(ctx, u); err != nil {
			return &apiError{"ValidationError", fmt.Sprintf("Subscription validation request failed. %s", err)}
		}
	}
	return nil
}

// validate POSTs a validation token to rawURL and checks its echo.
func (o *outbox) validate(ctx context.Context, rawURL string) error {
	token := "Validation: Testing client application reachability for subscription Request-Id: " + requestID()
	// Lower-case escapes and + for the space: the way Graph spells it.
	escaped := strings.ReplaceAll(url.QueryEscape(token), "%3A", "%3a")
	u, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("the URL is malformed")
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "validationToken=" + escaped
	ctx, cancel := context.WithTimeout(ctx, o.cfg.RetryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("the URL is malformed")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := o.client.Do(req)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the operation has timed out")
	case err != nil:
		return fmt.Errorf("the notification endpoint can't be reached")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return fmt.Errorf("the answer could not be read")
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("notification endpoint must respond with 200 OK to validation request, it was %d", resp.StatusCode)
	case kind != "text/plain":
		return fmt.Errorf("notification endpoint must respond with text/plain")
	case string(body) != token:
		return fmt.Errorf("validation token mismatch: the decoded token must be the whole answer")
	}
	return nil
}
