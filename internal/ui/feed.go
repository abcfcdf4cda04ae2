package ui

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/gin-contrib/sse"
	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

const (
	// maxFeeds limits the load on Redis: each feed sends one request per feedInterval.
	maxFeeds     = 16
	feedInterval = time.Second
	// feedKeepAlive is the longest silence of a feed, so that proxies don't close it.
	feedKeepAlive = 15 * time.Second
	// feedLifetime is when a feed ends. Browsers reconnect and show their session again.
	feedLifetime     = 10 * time.Minute
	feedWriteTimeout = 10 * time.Second
	recentEntries    = 40
)

// item is an entry of the feed as the page shows it.
type item struct {
	ooo.Event
	Email string `json:"email"`
	Name  string `json:"name"`
}

// feed streams the events of all users, from all replicas, until the browser leaves. It
// sends its position as the event id, so that a browser that reconnects gets the events
// that it missed.
func (u *UI) feed(c *gin.Context) {
	select {
	case u.feeds <- struct{}{}:
		defer func() { <-u.feeds }()
	default:
		c.Header("Retry-After", "10")
		api.Refuse(c, http.StatusServiceUnavailable, "too many pages are open: try again")
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), feedLifetime)
	defer cancel()
	c.Header("Content-Type", "text/event-stream")
	c.Header("X-Accel-Buffering", "no")
	control := http.NewResponseController(c.Writer)
	_ = control.SetReadDeadline(time.Time{})
	extend := func() { _ = control.SetWriteDeadline(time.Now().Add(feedWriteTimeout)) }
	defer extend() // for the end of the answer
	tick := time.NewTicker(feedInterval)
	defer tick.Stop()
	position := cmp.Or(c.GetHeader("Last-Event-ID"), c.Query("after"))
	var sent time.Time // long ago, so that the position is sent at once
	for {
		entries, next, err := u.entriesAfter(ctx, position)
		if err == nil && (len(entries) > 0 || time.Since(sent) > feedKeepAlive) {
			position, sent = next, time.Now()
			extend()
			for _, e := range entries {
				c.SSEvent("news", item{e.Event, e.Address, e.Name})
			}
			c.Render(-1, sse.Event{Id: position, Event: "position", Data: len(entries)})
			err = control.Flush()
		}
		if err != nil {
			u.cfg.Log.DebugContext(ctx, "a feed of the operator's page ended", "err", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-u.stopped:
			return
		case <-tick.C:
		}
	}
}

// entriesAfter returns the entries after a position or, without one, the latest.
func (u *UI) entriesAfter(ctx context.Context, position string) ([]ooo.FeedEntry, string, error) {
	if position != "" {
		return u.cfg.Store.FeedAfter(ctx, position)
	}
	return u.cfg.Store.RecentFeed(ctx, recentEntries)
}
