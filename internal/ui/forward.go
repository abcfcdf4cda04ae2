package ui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
)

// forward passes /ui/api/… on to the API as /api/….
func (u *UI) forward(c *gin.Context) {
	u.callAPI(c, strings.TrimPrefix(c.Request.URL.EscapedPath(), "/ui"))
}

// health answers with /readyz.
func (u *UI) health(c *gin.Context) { u.callAPI(c, "/readyz") }

// callAPI makes the API answer the request at another, escaped path, with the token. The
// caller must have authenticated the operator.
func (u *UI) callAPI(c *gin.Context, escaped string) {
	r := c.Request.Clone(c.Request.Context())
	target, err := url.Parse(escaped)
	if err != nil {
		api.Refuse(c, http.StatusBadRequest, "not a valid path")
		return
	}
	r.URL.Path, r.URL.RawPath = target.Path, target.RawPath
	r.RequestURI = r.URL.RequestURI()
	r.Header.Del("Cookie")
	r.Header.Del("Authorization")
	if u.cfg.Token != "" {
		r.Header.Set("Authorization", "Bearer "+u.cfg.Token)
	}
	u.cfg.API.ServeHTTP(c.Writer, r)
}
