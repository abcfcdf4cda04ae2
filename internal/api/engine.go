package api

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
)

// NoSuchPath is the error text of a path that an engine does not serve.
const NoSuchPath = "no such path"

// NewEngine returns a gin engine that sets the headers of every answer, logs requests and
// recovers from panics. It makes no redirects and trusts no forwarded addresses.
func NewEngine(log *slog.Logger) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	e.UseRawPath = true          // an address may contain an escaped slash
	e.UnescapePathValues = false // it would turn a plus into a space; see addressParam
	_ = e.SetTrustedProxies(nil) // never fails for nil
	e.Use(middleware(log))
	e.NoRoute(func(c *gin.Context) { Refuse(c, http.StatusNotFound, NoSuchPath) })
	e.NoMethod(func(c *gin.Context) {
		Refuse(c, http.StatusMethodNotAllowed, "method not allowed: see the Allow header")
	})
	return e
}

// middleware sets the headers of every answer, logs the request without the address in
// its path, and turns a panic into a 500.
func middleware(log *slog.Logger) gin.HandlerFunc {
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
					Refuse(c, http.StatusInternalServerError, "internal error: see the log of the service")
				}
			}
			log.DebugContext(ctx, "answered", "method", c.Request.Method, "route", c.FullPath(),
				"status", c.Writer.Status(), "took", time.Since(began))
		}()
		c.Next()
	}
}
