package ui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
)

// forward has the API answer /ui/api/… as /api/….
func (u *UI) forward(c *gin.Context) {
	u.pass(c, strings.TrimPrefix(c.Request.URL.EscapedPath(), "/ui"))
}

// health has /readyz answer.
func (u *UI) health(c *gin.Context) { u.pass(c, "/readyz") }

// pass has the API answer an escaped path on behalf of an operator who has shown
// who they are.
func (u *UI) pass(c *gin.Context, escaped string) {
	r := c.Request.Clone(c.Request.Context())
	target, err := url.Parse(escaped)
	if err != nil {
		refuse(c, http.StatusBadRequest, "not a valid path")
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
