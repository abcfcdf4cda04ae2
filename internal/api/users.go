package api

import (
	"bytes"
	"context"
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
	maxEvents     = 200
	defaultEvents = 100
	maxAddresses  = 10_000 // in one request
)

// limited reads the limit of a query; more than most are never given. Of what is
// no limit it returns false, and has answered.
func limited(c *gin.Context, otherwise, most int) (int, bool) {
	text, given := c.GetQuery("limit")
	if !given {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < 1 {
		refuse(c, http.StatusBadRequest, fmt.Sprintf("write limit as a number from 1 to %d, or leave it out for %d", most, otherwise))
		return 0, false
	}
	return min(n, most), true
}

func (a *API) list(c *gin.Context) {
	limit, ok := limited(c, usersPerPage, maxPerPage)
	if !ok {
		return
	}
	users, next, err := a.cfg.Users.Users(c.Request.Context(), limit, c.Query("cursor"))
	if err != nil {
		a.fail(c, err)
		return
	}
	page := struct {
		Users  []userView `json:"users"`
		Cursor string     `json:"cursor,omitempty"`
	}{make([]userView, 0, len(users)), next}
	for _, u := range users {
		page.Users = append(page.Users, viewOf(u))
	}
	c.JSON(http.StatusOK, page)
}

// address is the user a path names.
func address(c *gin.Context) (string, error) {
	text := c.Param("email")
	if c.Request.URL.RawPath != "" { // then the route was found by that, still escaped
		var err error
		if text, err = url.PathUnescape(text); err != nil {
			return "", ooo.ErrBadAddress
		}
	}
	return ooo.ParseAddress(text)
}

// monitored is the address a path names; what is no address can't be monitored.
func monitored(c *gin.Context) (string, error) {
	email, err := address(c)
	if err != nil {
		return "", ooo.ErrNotMonitored
	}
	return email, nil
}

func (a *API) show(c *gin.Context) {
	email, err := monitored(c)
	var user ooo.User
	if err == nil {
		user, err = a.cfg.Users.User(c.Request.Context(), email)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, viewOf(user))
}

func (a *API) put(c *gin.Context) {
	email, err := address(c)
	if err == nil {
		err = a.change(c.Request.Context(), email, true, ooo.Operator)
	}
	status, _ := outcome(err)
	var user ooo.User
	if err == nil || status == http.StatusAccepted {
		user, err = a.cfg.Users.User(c.Request.Context(), email)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(status, viewOf(user))
}

func (a *API) remove(c *gin.Context) {
	email, err := address(c)
	if err == nil {
		err = a.change(c.Request.Context(), email, false, ooo.Operator)
	}
	if err != nil && !errors.Is(err, ooo.ErrBadAddress) {
		a.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// result is the outcome of one of many addresses.
type result struct {
	Email  string `json:"email"`
	Result string `json:"result"` // accepted or invalid
	Error  string `json:"error,omitempty"`
}

// emails are the values of a list. They are read one by one, and no more than tell that
// there are too many: decoded as a whole, a list takes many times its own size.
type emails []string

func (e *emails) UnmarshalJSON(list []byte) error {
	values := json.NewDecoder(bytes.NewReader(list))
	if begin, err := values.Token(); err != nil || begin != json.Delim('[') {
		return errInvalidJSON
	}
	for values.More() && len(*e) <= maxAddresses {
		var value json.RawMessage
		if err := values.Decode(&value); err != nil {
			return err
		}
		var text string
		if value[0] != '"' || json.Unmarshal(value, &text) != nil {
			text = string(value) // named all the same, so that it can be found in the request
		}
		*e = append(*e, text)
	}
	return nil
}

// startMany takes many addresses at once; the directory is asked later.
func (a *API) startMany(c *gin.Context) {
	waiting, cancel := context.WithTimeout(c.Request.Context(), turnTime)
	defer cancel()
	if a.bulk.Acquire(waiting, 1) != nil {
		a.fail(c, errBusy)
		return
	}
	defer a.bulk.Release(1)
	var request struct {
		Emails *emails `json:"emails"`
	}
	if err := readJSON(c, &request); err != nil {
		a.fail(c, err)
		return
	}
	if request.Emails == nil || len(*request.Emails) > maxAddresses {
		refuse(c, http.StatusBadRequest, `write {"emails":["…"]} with at most `+strconv.Itoa(maxAddresses)+" addresses")
		return
	}
	results := make([]result, len(*request.Emails))
	var addresses []string
	for i, text := range *request.Emails {
		email, err := ooo.ParseAddress(text)
		if err != nil {
			results[i] = result{text, "invalid", err.Error()}
			continue
		}
		results[i] = result{Email: email, Result: "accepted"}
		addresses = append(addresses, email)
	}
	if err := a.startAll(c.Request.Context(), addresses); err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusAccepted, gin.H{"results": results})
}

// leave leaves a hint for the owner of a monitored user and answers 202.
func (a *API) leave(c *gin.Context, kind ooo.HintKind) {
	email, err := monitored(c)
	var w ooo.Wish
	if err == nil {
		w, err = a.cfg.Wishes.Wish(c.Request.Context(), email)
	}
	if err == nil && !w.On {
		err = ooo.ErrNotMonitored
	}
	if err == nil {
		err = a.cfg.Leave(c.Request.Context(), hint(w, kind))
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusAccepted, gin.H{"result": "accepted"})
}

func (a *API) check(c *gin.Context) { a.leave(c, ooo.HintCheck) }

func (a *API) resend(c *gin.Context) { a.leave(c, ooo.HintResend) }

func (a *API) history(c *gin.Context) {
	limit, ok := limited(c, defaultEvents, maxEvents)
	if !ok {
		return
	}
	email, err := monitored(c)
	var events []ooo.Event
	if err == nil {
		events, err = a.cfg.Users.History(c.Request.Context(), email, limit)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	if events == nil {
		events = []ooo.Event{}
	}
	c.JSON(http.StatusOK, gin.H{"events": events})
}
