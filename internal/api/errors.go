package api

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/store"
)

// outcomes maps errors to statuses. The first match wins. Other errors are those of the
// store: 503, not stored.
var outcomes = []struct {
	err       error
	status    int
	notStored bool // for now: the caller should try again
}{
	{errNotJSON, http.StatusBadRequest, false},
	{errInvalidJSON, http.StatusBadRequest, false},
	{errTooLarge, http.StatusRequestEntityTooLarge, false},
	{errSlow, http.StatusRequestTimeout, false},
	{ooo.ErrBadAddress, http.StatusBadRequest, false},
	{ooo.ErrBadCursor, http.StatusBadRequest, false},
	{ooo.ErrNotInDirectory, http.StatusNotFound, false},
	{ooo.ErrNotMonitored, http.StatusNotFound, false},
	{ooo.ErrAmbiguous, http.StatusConflict, false},
	{errUnresolved, http.StatusAccepted, false},
	{errNotReady, http.StatusServiceUnavailable, true},
	{errBusy, http.StatusServiceUnavailable, true},
	{errContended, http.StatusServiceUnavailable, true},
	{store.ErrDamaged, http.StatusInternalServerError, false},
}

// notStored reports whether a request could not be stored for now.
func notStored(err error) bool {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.notStored
		}
	}
	return err != nil
}

// outcome returns the status and the text of an answer.
func outcome(err error) (status int, text string) {
	if err == nil {
		return http.StatusOK, ""
	}
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.status, o.err.Error()
		}
	}
	return http.StatusServiceUnavailable, "Redis is unreachable: try again"
}

// fail answers with err.
func (a *API) fail(c *gin.Context, err error) {
	status, text := outcome(err)
	a.warn(c, status, err)
	refuse(c, status, text)
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

// refuse answers with an error in JSON. It closes the connection of a request whose body
// may be unread, because the server would otherwise wait for the rest of it.
func refuse(c *gin.Context, status int, text string) {
	if c.Request.ContentLength != 0 {
		c.Header("Connection", "close")
	}
	c.AbortWithStatusJSON(status, gin.H{"error": text})
}

// refuseUnauthorized answers a caller that did not show the token.
func refuseUnauthorized(c *gin.Context) {
	c.Writer.Header().Add("WWW-Authenticate", `Bearer realm="outlook-monitor"`)
	c.Writer.Header().Add("WWW-Authenticate", `Basic realm="outlook-monitor"`)
	refuse(c, http.StatusUnauthorized, "show MONITOR_TOKEN as a bearer token or as the password of basic auth")
}
