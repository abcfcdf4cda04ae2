package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/config"
	"outlook-monitor/internal/ooo"
)

// usersAPI is the private API of a running service.
type usersAPI struct {
	base   *url.URL
	token  config.Secret
	json   bool
	client *http.Client
}

// maxBody is more than a page of 500 users with long messages.
const maxBody = 64 << 20

// unknownUser means that the service answered 404.
type unknownUser struct{ email string }

func (e *unknownUser) Error() string {
	return fmt.Sprintf("%s is not monitored: start it with outlook-monitor users add", printable(e.email))
}

// errNotService means that another program, or the public listener, answered.
func errNotService(base *url.URL) error {
	return fmt.Errorf("%s is not outlook-monitor's private address: set --server or OUTLOOK_MONITOR_URL to it (PRIVATE_ADDR if that is set)",
		base.Redacted())
}

// call makes one request for the user with this email, or for all users if it is empty. A
// body is JSON, nil for none. Errors say what to do.
func (a *usersAPI) call(ctx context.Context, method, email, action string, query url.Values, body []byte) (int, []byte, error) {
	target := strings.TrimRight(a.base.String(), "/") + "/api/users"
	if email != "" {
		target += "/" + url.PathEscape(email) + action
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("--server is not a base URL: use one such as " + defaultServer)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !a.token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, nil, a.connectError(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return 0, nil, a.connectError(err)
	}
	return resp.StatusCode, answer, a.statusError(resp.StatusCode, email, answer)
}

func (a *usersAPI) connectError(err error) error {
	urlErr, isURL := errors.AsType[*url.Error](err)
	netErr, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s: start outlook-monitor serve there, or set --server or OUTLOOK_MONITOR_URL to its address",
			a.base.Redacted())
	case errors.Is(err, context.Canceled):
		return err
	case isNet && netErr.Timeout():
		return fmt.Errorf("%s did not answer in time: check its log, and --server", a.base.Redacted())
	case isURL:
		err = urlErr.Err // without the URL, which contains the address
	}
	return fmt.Errorf("ask %s: %w: check --server or OUTLOOK_MONITOR_URL", a.base.Redacted(), err)
}

// statusError returns an error that says what to do, nil for 2xx.
func (a *usersAPI) statusError(status int, email string, body []byte) error {
	var answer struct {
		Error string `json:"error"`
	}
	fromService := json.Unmarshal(body, &answer) == nil && answer.Error != ""
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized && a.token.IsZero():
		return errors.New("the service requires a token: set MONITOR_TOKEN or --token to the one it was started with")
	case status == http.StatusUnauthorized:
		return errors.New("the service has a different token: set MONITOR_TOKEN or --token to the one it was started with")
	case status == http.StatusNotFound && answer.Error == api.NoSuchPath:
		return fmt.Errorf("%s does not serve the API: set --server or OUTLOOK_MONITOR_URL to the PRIVATE_ADDR of the service", a.base.Redacted())
	case status == http.StatusNotFound && fromService && email != "":
		return &unknownUser{email}
	case status == http.StatusBadRequest && strings.HasPrefix(string(body), "Client sent an HTTP request to an HTTPS server"): // by net/http
		return fmt.Errorf("%s speaks TLS: use https:// in --server or OUTLOOK_MONITOR_URL", a.base.Redacted())
	case !fromService && status < 500:
		return errNotService(a.base)
	case fromService:
		return fmt.Errorf("the service answers %d: %.300s", status, printable(answer.Error))
	}
	return fmt.Errorf("the service answers %d: try again, or check its log", status)
}

type user = api.User

// user returns one user, and the JSON that it is from.
func (a *usersAPI) user(ctx context.Context, email string) (u user, body []byte, err error) {
	_, body, err = a.call(ctx, http.MethodGet, email, "", nil, nil)
	if err == nil && (json.Unmarshal(body, &u) != nil || u.Email == "") {
		err = errNotService(a.base)
	}
	return u, body, err
}

// users returns all users.
func (a *usersAPI) users(ctx context.Context) ([]user, error) {
	all, query := []user{}, url.Values{"limit": {"500"}}
	for {
		var page struct {
			Users  *[]user `json:"users"`
			Cursor string  `json:"cursor"`
		}
		_, body, err := a.call(ctx, http.MethodGet, "", "", query, nil)
		if err != nil {
			return nil, err
		}
		if json.Unmarshal(body, &page) != nil || page.Users == nil || page.Cursor != "" && page.Cursor == query.Get("cursor") {
			return nil, errNotService(a.base)
		}
		all = append(all, *page.Users...)
		if page.Cursor == "" {
			return all, nil
		}
		query.Set("cursor", page.Cursor)
	}
}

// history returns the newest events of a user, newest first, and the JSON that they are from.
func (a *usersAPI) history(ctx context.Context, email string, limit int) (events []ooo.Event, body []byte, err error) {
	_, body, err = a.call(ctx, http.MethodGet, email, "/history", url.Values{"limit": {strconv.Itoa(limit)}}, nil)
	if err != nil {
		return nil, nil, err
	}
	var history struct {
		Events *[]ooo.Event `json:"events"`
	}
	if json.Unmarshal(body, &history) != nil || history.Events == nil {
		return nil, nil, errNotService(a.base)
	}
	return *history.Events, body, nil
}
