package api

import (
	"context"
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
	mostPerPage   = 500
	mostEvents    = 200
	mostAtOnce    = 10_000 // users in one request
	maxBulk       = MaxBody
	defaultEvents = 100
)

// MaxBody is the longest body that is read.
const MaxBody = 4 << 20

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
	limit, ok := limited(c, usersPerPage, mostPerPage)
	if !ok {
		return
	}
	users, next, err := a.cfg.Store.Users(c.Request.Context(), limit, c.Query("cursor"))
	if err != nil {
		a.fail(c, err)
		return
	}
	covers, err := a.covers(c.Request.Context(), users...)
	if err != nil {
		a.fail(c, err)
		return
	}
	page := struct {
		Users  []userView `json:"users"`
		Cursor string     `json:"cursor,omitempty"`
	}{make([]userView, 0, len(users)), next}
	for _, u := range users {
		if u.Active {
			page.Users = append(page.Users, viewOf(covered(u, covers)))
		}
	}
	c.JSON(http.StatusOK, page)
}

// fail answers with an error.
func (a *API) fail(c *gin.Context, err error) {
	status, text := outcome(err)
	if status == http.StatusServiceUnavailable {
		a.cfg.Log.WarnContext(c.Request.Context(), "a request failed", "route", c.FullPath(), "err", err)
		c.Header("Retry-After", "1")
	}
	refuse(c, status, text)
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

func (a *API) show(c *gin.Context) {
	email, err := address(c)
	if err != nil { // what is no address can't be monitored
		err = ooo.ErrNotMonitored
	}
	var user ooo.User
	if err == nil {
		user, err = a.monitored(c.Request.Context(), ooo.KeyOf(email))
	}
	var covers map[ooo.Key]ooo.User
	if err == nil {
		covers, err = a.covers(c.Request.Context(), user)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, viewOf(covered(user, covers)))
}

func (a *API) put(c *gin.Context) {
	email, err := address(c)
	var user ooo.User
	if err == nil {
		user, err = a.start(c.Request.Context(), email)
	}
	if err != nil && !errors.Is(err, errUnresolved) {
		a.fail(c, err)
		return
	}
	status, _ := outcome(err)
	c.JSON(status, viewOf(user))
}

func (a *API) remove(c *gin.Context) {
	email, err := address(c)
	if err == nil {
		err = a.cfg.Store.Stop(c.Request.Context(), ooo.KeyOf(email))
	}
	if err != nil && !errors.Is(err, ooo.ErrNotMonitored) && !errors.Is(err, ooo.ErrBadAddress) {
		a.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// act does something to a monitored user and answers 202.
func (a *API) act(c *gin.Context, do func(ctx context.Context, key ooo.Key) error) {
	ctx := c.Request.Context()
	email, err := address(c)
	if err != nil {
		err = ooo.ErrNotMonitored
	}
	var user ooo.User
	if err == nil {
		user, err = a.monitored(ctx, ooo.KeyOf(email))
	}
	if err == nil {
		err = do(ctx, user.Key)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusAccepted, gin.H{"result": "accepted"})
}

func (a *API) check(c *gin.Context) { a.act(c, a.look) }

func (a *API) resend(c *gin.Context) { a.act(c, a.cfg.Store.Resend) }

func (a *API) history(c *gin.Context) {
	limit, ok := limited(c, defaultEvents, mostEvents)
	if !ok {
		return
	}
	ctx := c.Request.Context()
	email, err := address(c)
	if err != nil {
		err = ooo.ErrNotMonitored
	}
	var user ooo.User
	if err == nil {
		user, err = a.monitored(ctx, ooo.KeyOf(email))
	}
	var events []ooo.Event
	if err == nil {
		events, err = a.cfg.Store.History(ctx, user.Key, limit)
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

// result is what became of one of many.
type result struct {
	Email  string `json:"email"`
	Result string `json:"result"` // accepted or invalid
	Error  string `json:"error,omitempty"`
}

// startMany takes many users at once; the directory is asked later.
func (a *API) startMany(c *gin.Context) {
	var request struct {
		Emails *[]any `json:"emails"`
	}
	if err := readJSON(c, maxBulk, &request); err != nil {
		a.fail(c, err)
		return
	}
	if request.Emails == nil || len(*request.Emails) > mostAtOnce {
		refuse(c, http.StatusBadRequest, `write {"emails":["…"]} with at most `+strconv.Itoa(mostAtOnce)+" addresses")
		return
	}
	results := make([]result, len(*request.Emails))
	var addresses []string
	for i, value := range *request.Emails {
		text, ok := value.(string)
		if !ok { // named all the same, so that it can be found in the request
			text = fmt.Sprint(value)
		}
		email, err := ooo.ParseAddress(text)
		if err != nil {
			results[i] = result{text, "invalid", err.Error()}
			continue
		}
		results[i] = result{Email: email, Result: "accepted"}
		addresses = append(addresses, email)
		a.debts.forgive(c.Request.Context(), ooo.KeyOf(email))
	}
	if err := a.cfg.Store.StartAll(c.Request.Context(), addresses); err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusAccepted, gin.H{"results": results})
}
