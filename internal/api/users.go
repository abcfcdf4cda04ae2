package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

const (
	usersPerPage  = 100
	maxPerPage    = 500
	maxEvents     = ooo.HistoryLength
	defaultEvents = 100
	maxAddresses  = 10_000 // in one request
)

// limitParam returns the limit in the query, cut at maximum, or fallback if it is missing or
// empty.
func limitParam(c *gin.Context, fallback, maximum int) (int, error) {
	text := c.Query("limit")
	if text == "" {
		return fallback, nil
	}
	n, _ := strconv.Atoi(text) // 0 if it is no number, and the nearest int if that is out of range
	if n < 1 {
		return 0, badRequest(fmt.Sprintf("write limit as a number from 1 to %d, or leave it out for %d", maximum, fallback))
	}
	return min(n, maximum), nil
}

func (a *API) list(c *gin.Context) (int, any, error) {
	limit, err := limitParam(c, usersPerPage, maxPerPage)
	if err != nil {
		return 0, nil, err
	}
	users, next, err := a.cfg.Users.Users(c.Request.Context(), limit, c.Query("cursor"))
	return http.StatusOK, struct {
		Users  []User `json:"users"`
		Cursor string `json:"cursor,omitempty"`
	}{UsersOf(users), next}, err
}

// addressParam returns the address in the path.
func addressParam(c *gin.Context) (string, error) {
	text := c.Param("email")
	if c.Request.URL.RawPath != "" { // gin then matched the escaped path
		var err error
		if text, err = url.PathUnescape(text); err != nil {
			return "", ooo.ErrBadAddress
		}
	}
	return ooo.ParseAddress(text)
}

// monitoredParam is addressParam for requests about a monitored user, which no invalid
// address can be.
func monitoredParam(c *gin.Context) (string, error) {
	email, err := addressParam(c)
	if err != nil {
		return "", ooo.ErrNotMonitored
	}
	return email, nil
}

func (a *API) show(c *gin.Context) (int, any, error) {
	email, err := monitoredParam(c)
	if err != nil {
		return 0, nil, err
	}
	user, err := a.cfg.Users.User(c.Request.Context(), email)
	return http.StatusOK, UserOf(user), err
}

func (a *API) put(c *gin.Context) (int, any, error) {
	email, err := addressParam(c)
	if err == nil {
		err = a.change(c.Request.Context(), email, true, ooo.Operator)
	}
	status := outcomeOf(err).status
	if err != nil && status != http.StatusAccepted {
		return 0, nil, err
	}
	user, err := a.cfg.Users.User(c.Request.Context(), email)
	return status, UserOf(user), err
}

func (a *API) remove(c *gin.Context) {
	if email, err := addressParam(c); err == nil { // an invalid address is not monitored
		if err := a.change(c.Request.Context(), email, false, ooo.Operator); err != nil {
			a.fail(c, err)
			return
		}
	}
	c.Status(http.StatusNoContent)
}

// result is the result for one address of a bulk request.
type result struct {
	Email  string `json:"email"`
	Result string `json:"result"` // accepted or invalid
	Error  string `json:"error,omitempty"`
}

// emails is a list of addresses, which are strings in valid requests. It is decoded one by one,
// up to the first that is over the limit: decoded as a whole, a list takes many times its own
// size.
type emails []json.RawMessage

func (e *emails) UnmarshalJSON(list []byte) error {
	values := json.NewDecoder(bytes.NewReader(list))
	if begin, _ := values.Token(); begin != json.Delim('[') {
		return errInvalidJSON
	}
	for values.More() && len(*e) <= maxAddresses {
		var value json.RawMessage
		if err := values.Decode(&value); err != nil {
			return err
		}
		*e = append(*e, value)
	}
	return nil
}

// resultOf returns the result for a value of the list. The text of an invalid one lets the
// caller find it in the request.
func resultOf(value json.RawMessage) result {
	text, address, err := string(value), "", ooo.ErrBadAddress
	if json.Unmarshal(value, &text) == nil { // null leaves "null", which is no address
		address, err = ooo.ParseAddress(text)
	}
	if err != nil {
		return result{text, "invalid", err.Error()}
	}
	return result{Email: address, Result: "accepted"}
}

// startMany starts many addresses at once. They are looked up later.
func (a *API) startMany(c *gin.Context) (int, any, error) {
	if err := a.acquire(c.Request.Context(), a.bulk); err != nil {
		return 0, nil, err
	}
	defer a.bulk.Release(1)
	var request struct {
		Emails *emails `json:"emails"`
	}
	err := readJSON(c, &request)
	if err != nil && !errors.Is(err, errInvalidJSON) {
		return 0, nil, err
	}
	if err != nil || request.Emails == nil || len(*request.Emails) > maxAddresses {
		return 0, nil, badRequest(`write {"emails":["…"]} with at most ` + strconv.Itoa(maxAddresses) + " addresses")
	}
	results := make([]result, len(*request.Emails))
	var addresses []string
	for i, value := range *request.Emails {
		if results[i] = resultOf(value); results[i].Error == "" {
			addresses = append(addresses, results[i].Email)
		}
	}
	return http.StatusAccepted, gin.H{"results": results}, a.startAll(c.Request.Context(), addresses)
}

// leaveHint returns a handler that leaves a hint for the owner of a monitored user and
// answers 202.
func leaveHint(kind ooo.HintKind) func(*API, *gin.Context) {
	return answer(func(a *API, c *gin.Context) (int, any, error) {
		email, err := monitoredParam(c)
		if err != nil {
			return 0, nil, err
		}
		w, err := a.cfg.Wishes.Wish(c.Request.Context(), email)
		if err == nil && !w.On {
			err = ooo.ErrNotMonitored
		}
		if err != nil {
			return 0, nil, err
		}
		return http.StatusAccepted, gin.H{"result": "accepted"}, a.cfg.LeaveHints(c.Request.Context(), w.Hint(kind))
	})
}

func (a *API) history(c *gin.Context) (int, any, error) {
	limit, err := limitParam(c, defaultEvents, maxEvents)
	if err != nil {
		return 0, nil, err
	}
	email, err := monitoredParam(c)
	if err != nil {
		return 0, nil, err
	}
	events, err := a.cfg.Users.History(c.Request.Context(), email, limit)
	if events == nil {
		events = []ooo.Event{}
	}
	return http.StatusOK, gin.H{"events": events}, err
}
