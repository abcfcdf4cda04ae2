package api

import (
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/gin-gonic/gin"
)

// profileTime is how long a profile may take; the server cuts answers off after
// a minute.
const profileTime = 55 * time.Second

// profiles lists the profiles of this process.
func (a *API) profiles(c *gin.Context) { pprof.Index(c.Writer, c.Request) }

// profile answers go tool pprof.
func (a *API) profile(c *gin.Context) {
	switch name := c.Param("name"); name {
	case "cmdline": // flags may hold secrets
		refuse(c, http.StatusNotFound, "no such profile")
	case "profile":
		pprof.Profile(c.Writer, c.Request)
	case "symbol":
		pprof.Symbol(c.Writer, c.Request)
	case "trace":
		pprof.Trace(c.Writer, c.Request)
	default:
		pprof.Handler(name).ServeHTTP(c.Writer, c.Request)
	}
}
