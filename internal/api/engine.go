package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// NewEngine returns an engine with what every answer of ours needs, and without
// what none does: no redirects, no banner, no look at forwarded addresses.
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

// refuse answers with an error in JSON.
func refuse(c *gin.Context, status int, text string) {
	c.AbortWithStatusJSON(status, gin.H{"error": text})
}

// refuseStranger answers one who did not show the token.
func refuseStranger(c *gin.Context) {
	c.Writer.Header().Add("WWW-Authenticate", `Bearer realm="outlook-monitor"`)
	c.Writer.Header().Add("WWW-Authenticate", `Basic realm="outlook-monitor"`)
	c.Header("Connection", "close") // or the server would wait for the rest of the body
	refuse(c, http.StatusUnauthorized, "show MONITOR_TOKEN as a bearer token or as the password of basic auth")
}

// admitted says whether a request shows the token, compared in constant time.
func (a *API) admitted(r *http.Request) bool {
	if a.cfg.Token == "" {
		return true
	}
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Basic") {
		_, shown, _ = r.BasicAuth()
	} else if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(shown)))
	return subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1
}
