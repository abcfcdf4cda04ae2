package api

import (
	"context"
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"
)

func (a *API) alive(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// found is what a probe found.
type found struct {
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`
	Excused  bool   `json:"excused,omitempty"` // ready all the same
	Detail   string `json:"detail,omitempty"`
	Error    string `json:"error,omitempty"`
}

// ready asks all dependencies at once and tells of each.
func (a *API) ready(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), probeTime)
	defer cancel()
	answers := make([]found, len(a.cfg.Checks))
	var asking sync.WaitGroup
	for i, check := range a.cfg.Checks {
		asking.Go(func() {
			detail, err := check.Probe(ctx)
			answers[i] = found{OK: err == nil, Required: check.Required, Detail: detail}
			if err != nil {
				answers[i].Error = err.Error()
			}
		})
	}
	asking.Wait()
	all, status := true, http.StatusOK
	checks := map[string]found{}
	for i, check := range a.cfg.Checks {
		if check.Required && !answers[i].OK {
			answers[i].Excused = check.Excused != nil && check.Excused()
			if !answers[i].Excused {
				all, status = false, http.StatusServiceUnavailable
			}
		}
		checks[check.Name] = answers[i]
	}
	c.JSON(status, gin.H{"ready": all, "checks": checks})
}
