package api

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
)

// NewEngine returns an engine with what every answer of ours needs, and without
// what none does: no redirects, no banner, no use of forwarded addresses.
func NewEngine(log *slog.Logger) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	e.HandleMethodNotAllowed = true
	e.UseRawPath = true          // an address may have an escaped slash in it
	e.UnescapePathValues = false // it would take a plus for a space; see address
	e.ContextWithFallback = false
	_ = e.SetTrustedProxies(nil) // of nil it is always nil
	e.Use(guard(log))
	e.NoRoute(func(c *gin.Context) { refuse(c, http.StatusNotFound, "no such path") })
	e.NoMethod(func(c *gin.Context) {
		refuse(c, http.StatusMethodNotAllowed, "this path takes another method: see Allow")
	})
	return e
}

// guard sets the headers of every answer, logs it without who it is about, and
// turns a panic into a 500.
func guard(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		began := time.Now()
		c.Header("X-Content-Type-Options", "nosniff")
		c.Header("Cache-Control", "no-store")
		ctx := c.Request.Context()
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler:
				panic(cause)
			default:
				log.ErrorContext(ctx, "request panicked", "route", c.FullPath(), "stack", string(debug.Stack()))
				if !c.Writer.Written() {
					refuse(c, http.StatusInternalServerError, "internal error: look at the log of the service")
				}
			}
			log.DebugContext(ctx, "answered", "method", c.Request.Method, "route", c.FullPath(),
				"status", c.Writer.Status(), "took", time.Since(began))
		}()
		c.Next()
	}
}
