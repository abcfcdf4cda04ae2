package ui

import (
	"strings"

	"github.com/gin-gonic/gin"
)

// forward passes /ui/api/… on to the API as /api/….
func (u *UI) forward(c *gin.Context) {
	from := c.Request.URL
	u.callAPI(c, strings.TrimPrefix(from.Path, "/ui"), strings.TrimPrefix(from.RawPath, "/ui"))
}

// health answers with /readyz.
func (u *UI) health(c *gin.Context) { u.callAPI(c, "/readyz", "") }

// callAPI makes the API answer the request at another path ([url.URL]), with the token. The
// caller must have authenticated the operator.
func (u *UI) callAPI(c *gin.Context, path, rawPath string) {
	r := c.Request.Clone(c.Request.Context())
	r.URL.Path, r.URL.RawPath = path, rawPath
	r.RequestURI = r.URL.RequestURI()
	r.Header.Del("Cookie")
	r.Header.Del("Authorization")
	if u.cfg.Token != "" {
		r.Header.Set("Authorization", "Bearer "+u.cfg.Token)
	}
	u.cfg.API.ServeHTTP(c.Writer, r)
}
