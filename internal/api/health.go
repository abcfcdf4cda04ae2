package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

func (a *API) alive(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// checked is the result of a check.
type checked struct {
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`
	Excused  bool   `json:"excused,omitempty"` // ready all the same
	Detail   string `json:"detail,omitempty"`
	Error    string `json:"error,omitempty"`
}

// probeEvery is how often dependencies are asked at most, whoever asks.
const probeEvery = time.Second

// health is what the last probes found.
type health struct {
	mu      sync.Mutex // held while probing, so that one request asks for all
	at      time.Time  // when the last probes ended
	results []checked
}

// probe asks all dependencies at once, unless that was done a moment ago.
func (h *health) probe(ctx context.Context, checks []Check) []checked {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.results != nil && time.Since(h.at) < probeEvery {
		return h.results
	}
	// Others rely on the results, so the caller's leaving does not count.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	results := make([]checked, len(checks))
	var asking sync.WaitGroup
	for i, check := range checks {
		asking.Go(func() {
			detail, err := check.Probe(ctx)
			results[i] = checked{OK: err == nil, Required: check.Required, Detail: detail}
			if err != nil {
				results[i].Error = err.Error()
				results[i].Excused = check.Required && check.Excused != nil && check.Excused()
			}
		})
	}
	asking.Wait()
	h.at, h.results = time.Now(), results
	return results
}

// ready answers with each dependency, with reasons for those who show the token.
func (a *API) ready(c *gin.Context) {
	results := a.health.probe(c.Request.Context(), a.cfg.Checks)
	reasons := a.admitted(c.Request) && a.cfg.Hosts(c.Request.Host)
	all, status := true, http.StatusOK
	checks := map[string]checked{}
	for i, check := range a.cfg.Checks {
		result := results[i]
		if check.Required && !result.OK && !result.Excused {
			all, status = false, http.StatusServiceUnavailable
		}
		if !reasons {
			result.Detail, result.Error = "", ""
		}
		checks[check.Name] = result
	}
	c.JSON(status, gin.H{"ready": all, "checks": checks})
}
