package api

import (
	"context"
	_ "embed" // of openapi.json
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// Check is a dependency that /readyz reports.
type Check struct {
	Name     string
	Required bool // the service is not ready without it
	// Excused reports whether the service is ready without it for now; nil: never.
	Excused func() bool
	// Probe returns details, and an error if the dependency is unavailable. It must
	// return when ctx ends.
	Probe func(ctx context.Context) (detail string, err error)
}

func (a *API) alive(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// checked is the result of a check as JSON.
type checked struct {
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`
	Excused  bool   `json:"excused,omitempty"` // the service is ready without it
	Detail   string `json:"detail,omitempty"`
	Error    string `json:"error,omitempty"`
}

const (
	probeInterval = time.Second // at least
	probeTimeout  = 2 * time.Second
)

// health caches the results of the last probes.
type health struct {
	mu      sync.Mutex // held while probing, so that concurrent requests share the probes
	at      time.Time  // when the last probes ended
	results []checked
}

// probe checks all dependencies concurrently, at most once a second.
func (h *health) probe(ctx context.Context, checks []Check) []checked {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.results != nil && time.Since(h.at) < probeInterval {
		return h.results
	}
	// Other requests use the results, so the probes continue if the caller leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	results := make([]checked, len(checks))
	var probes sync.WaitGroup
	for i, check := range checks {
		probes.Go(func() {
			detail, err := check.Probe(ctx)
			results[i] = checked{OK: err == nil, Required: check.Required, Detail: detail}
			if err != nil {
				results[i].Error = err.Error()
				results[i].Excused = check.Required && check.Excused != nil && check.Excused()
			}
		})
	}
	probes.Wait()
	h.at, h.results = time.Now(), results
	return results
}

// ready answers with the state of each dependency, with reasons only for a caller that
// shows the token.
func (a *API) ready(c *gin.Context) {
	withReasons := a.cfg.Access.Forbidden(c.Request) == "" && a.cfg.Access.Admits(c.Request)
	results := a.health.probe(c.Request.Context(), a.cfg.Checks)
	isReady, status := true, http.StatusOK
	checks := map[string]checked{}
	for i, check := range a.cfg.Checks {
		result := results[i]
		if check.Required && !result.OK && !result.Excused {
			isReady, status = false, http.StatusServiceUnavailable
		}
		if !withReasons {
			result.Detail, result.Error = "", ""
		}
		checks[check.Name] = result
	}
	c.JSON(status, gin.H{"ready": isReady, "checks": checks})
}

func (a *API) metrics(c *gin.Context) { a.cfg.Metrics.ServeHTTP(c.Writer, c.Request) }

// levels are those of LOG_LEVEL.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// showLevel returns the log level of this process.
func (a *API) showLevel(*gin.Context) (int, any, error) {
	return http.StatusOK, gin.H{"level": strings.ToLower(a.cfg.Level.Level().String())}, nil
}

// setLevel changes the log level of this process, until it ends.
func (a *API) setLevel(c *gin.Context) (int, any, error) {
	var request struct {
		Level string `json:"level"`
	}
	if err := readJSON(c, &request); err != nil {
		return 0, nil, err
	}
	level, ok := levels[strings.ToLower(request.Level)]
	if !ok {
		return 0, nil, badRequest(`write {"level":"…"} with debug, info, warn or error`)
	}
	before := a.cfg.Level.Level()
	a.cfg.Level.Set(level)
	a.cfg.Log.WarnContext(c.Request.Context(), "log level changed on request", "from", before, "to", level)
	return a.showLevel(c)
}

// profile serves a profile of this process, or a list of them.
func (a *API) profile(c *gin.Context) {
	switch name := c.Param("name"); name {
	case "":
		pprof.Index(c.Writer, c.Request)
	case "cmdline": // flags may contain secrets
		Refuse(c, http.StatusNotFound, "no such profile")
	case "profile":
		pprof.Profile(c.Writer, c.Request)
	case "symbol":
		pprof.Symbol(c.Writer, c.Request)
	case "trace":
		pprof.Trace(c.Writer, c.Request)
	default: // not Index, which takes a trailing slash for a part of the name
		pprof.Handler(name).ServeHTTP(c.Writer, c.Request)
	}
}

// openapi describes this API, the callbacks for Graph and the requests to the mediator,
// as an OpenAPI 3.1 document. Tests compare it with the routes and their answers.
//
//go:embed openapi.json
var openapi []byte

func (a *API) describe(c *gin.Context) {
	c.Data(http.StatusOK, "application/json; charset=utf-8", openapi)
}
