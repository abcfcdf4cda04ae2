package api

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// outcome says how an error is answered, with its text.
type outcome struct {
	err    error
	status int
}

var outcomes = []outcome{
	{nil, http.StatusOK},
	{errNotJSON, http.StatusBadRequest},
	{errInvalidJSON, http.StatusBadRequest},
	{errTooLarge, http.StatusRequestEntityTooLarge},
	{errSlow, http.StatusRequestTimeout},
	{ooo.ErrBadAddress, http.StatusBadRequest},
	{ooo.ErrBadCursor, http.StatusBadRequest},
	{ooo.ErrNotInDirectory, http.StatusNotFound},
	{ooo.ErrNotMonitored, http.StatusNotFound},
	{ooo.ErrAmbiguous, http.StatusConflict},
	{errUnresolved, http.StatusAccepted},
	{errNotReady, http.StatusServiceUnavailable},
	{errBusy, http.StatusServiceUnavailable},
	{errContended, http.StatusServiceUnavailable},
}

var (
	errUnreachable = errors.New("Redis is unreachable or refuses the request: try again")
	errDamaged     = errors.New("the request for this user in Redis can't be decoded: start or stop monitoring the user, which replaces it")
)

// badRequest is an error that says how to write the request.
type badRequest string

func (text badRequest) Error() string { return string(text) }

// outcomeOf returns the first outcome that matches err. Other errors are those of the store.
func outcomeOf(err error) outcome {
	if text, ok := errors.AsType[badRequest](err); ok {
		return outcome{text, http.StatusBadRequest}
	}
	if errors.Is(err, store.ErrDamaged) {
		return outcome{errDamaged, http.StatusInternalServerError}
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o
		}
	}
	return outcome{errUnreachable, http.StatusServiceUnavailable}
}

// answer returns a handler that answers with what handle returns.
func answer(handle func(*API, *gin.Context) (status int, body any, err error)) func(*API, *gin.Context) {
	return func(a *API, c *gin.Context) {
		status, body, err := handle(a, c)
		if err != nil {
			a.fail(c, err)
			return
		}
		c.JSON(status, body)
	}
}

// fail answers with err.
func (a *API) fail(c *gin.Context, err error) {
	o := outcomeOf(err)
	a.warn(c, o.status, err)
	Refuse(c, o.status, o.err.Error())
}

// warn logs an error that is not the caller's fault.
func (a *API) warn(c *gin.Context, status int, err error) {
	if status < http.StatusInternalServerError {
		return
	}
	a.cfg.Log.WarnContext(c.Request.Context(), "request failed", "route", c.FullPath(), "err", err)
	if status == http.StatusServiceUnavailable {
		c.Header("Retry-After", "1")
	}
}

// Refuse answers with an error in JSON. It closes the connection of a request whose body
// may be unread, because the server would otherwise wait for the rest of it.
func Refuse(c *gin.Context, status int, text string) {
	if c.Request.ContentLength != 0 {
		c.Header("Connection", "close")
	}
	c.AbortWithStatusJSON(status, gin.H{"error": text})
}

// refuseUnauthorized answers a caller that did not show the token.
func refuseUnauthorized(c *gin.Context) {
	c.Writer.Header().Add("WWW-Authenticate", `Bearer realm="outlook-monitor"`)
	c.Writer.Header().Add("WWW-Authenticate", `Basic realm="outlook-monitor"`)
	Refuse(c, http.StatusUnauthorized, "show MONITOR_TOKEN as a bearer token or as the password of basic auth")
}
