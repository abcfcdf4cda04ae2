package graphsim

import (
	"context"
	"errors"
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

// validate asks rawURL to prove that it wants notifications.
func (o *outbox) validate(ctx context.Context, rawURL string) *reply {
	if err := o.handshake(ctx, rawURL); err != nil {
		return fail(http.StatusBadRequest, "ValidationError", fmt.Sprintf("Subscription validation request failed. %s", err))
	}
	return nil
}

// handshake POSTs a validation token to rawURL and checks its echo.
func (o *outbox) handshake(ctx context.Context, rawURL string) error {
	token := "Validation: Testing client application reachability for subscription Request-Id: " + requestID()
	separator := "?"
	if strings.Contains(rawURL, "?") {
		separator = "&"
	}
	// Lower-case escapes and + for the space: the way Graph spells it.
	target := rawURL + separator + "validationToken=" + strings.ReplaceAll(url.QueryEscape(token), "%3A", "%3a")
	ctx, cancel := context.WithTimeout(ctx, o.cfg.RetryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
	if err != nil {
		return errors.New("the URL is malformed")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := o.client.Do(req)
	switch {
	case ctx.Err() != nil:
		return errors.New("the operation has timed out")
	case err != nil:
		return errors.New("the notification endpoint can't be reached")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return errors.New("the answer could not be read")
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("notification endpoint must respond with 200 OK to validation request, it was %d", resp.StatusCode)
	case kind != "text/plain":
		return errors.New("notification endpoint must respond with text/plain")
	case string(body) != token:
		return errors.New("validation token mismatch: the decoded token must be the whole answer")
	}
	return nil
}
