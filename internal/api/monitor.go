package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

// Errors of a body. The texts of the first two are those of the first outlook-monitor.
var (
	errNotJSON     = errors.New("Not JSON")
	errInvalidJSON = errors.New("Invalid JSON")
	errTooLarge    = errors.New("the body is too large")
	errSlow        = errors.New("the body did not arrive in time")
)

// monitor starts or stops monitoring a user for the mediator.
func (a *API) monitor(c *gin.Context) {
	address, on, err := monitorRequest(c)
	if err == nil {
		err = a.change(c.Request.Context(), address, on, ooo.Mediator)
	}
	switch o := outcomeOf(err); o.status {
	case http.StatusOK, http.StatusAccepted:
		word := "False"
		if on {
			word = "True"
		}
		text := fmt.Sprintf("You would like to monitor %s %s", address, word)
		a.say(c, o.status, text, gin.H{"email": address, "status": word, "result": text})
	case http.StatusBadRequest:
		c.JSON(o.status, gin.H{"result": o.err.Error()})
	case http.StatusNotFound:
		text := fmt.Sprintf("User %s not in Active Directory", address)
		a.say(c, o.status, text, gin.H{"email": address, "error": text})
	default:
		a.warn(c, o.status, err)
		a.say(c, o.status, o.err.Error(), gin.H{"error": o.err.Error()})
	}
}

// say answers in HTML, or in JSON if the caller prefers it.
func (a *API) say(c *gin.Context, status int, text string, body gin.H) {
	if prefersJSON(c.Request.Header.Values("Accept")) {
		c.JSON(status, body)
		return
	}
	c.Data(status, "text/html; charset=utf-8", []byte("<h1>"+html.EscapeString(text)+"</h1>"))
}

// monitorRequest reads the body of POST /monitor.
func monitorRequest(c *gin.Context) (address string, on bool, err error) {
	var fields map[string]json.RawMessage
	if err := readJSON(c, &fields); err != nil {
		return "", false, err
	}
	var email string
	_ = json.Unmarshal(fields["email"], &email) // "", which is no address, if it is no string
	if address, err = ooo.ParseAddress(email); err != nil {
		return "", false, errInvalidJSON
	}
	var word string
	switch {
	case json.Unmarshal(fields["status"], &word) == nil:
		on = strings.EqualFold(word, "true")
		if !on && !strings.EqualFold(word, "false") {
			return "", false, errInvalidJSON
		}
	case json.Unmarshal(fields["status"], &on) != nil:
		return "", false, errInvalidJSON
	}
	return address, on, nil
}

// readJSON decodes a body, which must be a single JSON value of any JSON content type,
// into to.
func readJSON(c *gin.Context, to any) error {
	if !isJSON(c.GetHeader("Content-Type")) {
		return errNotJSON
	}
	body, err := io.ReadAll(c.Request.Body)
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case large:
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	case err != nil || !json.Valid(body):
		return errNotJSON
	case json.Unmarshal(body, to) != nil:
		return errInvalidJSON
	}
	return nil
}

// isJSON reports whether a content type is JSON, with or without parameters.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
}
