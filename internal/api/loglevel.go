package api

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// levels are the words for LOG_LEVEL and here.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// showLevel shows from which level on this process logs.
func (a *API) showLevel(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"level": strings.ToLower(a.cfg.Level.Level().String())})
}

// setLevel changes it, for this process and until it ends.
func (a *API) setLevel(c *gin.Context) {
	var request struct {
		Level string `json:"level"`
	}
	if err := readJSON(c, maxRequest, &request); err != nil {
		a.fail(c, err)
		return
	}
	level, ok := levels[strings.ToLower(request.Level)]
	if !ok {
		refuse(c, http.StatusBadRequest, `write {"level":"…"} with debug, info, warn or error`)
		return
	}
	before := a.cfg.Level.Level()
	a.cfg.Level.Set(level)
	a.cfg.Log.WarnContext(c.Request.Context(), "log level changed on request", "from", before, "to", level)
	a.showLevel(c)
}
