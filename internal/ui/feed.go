package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

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
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := stream{c.Writer, http.NewResponseController(c.Writer)}
	_ = out.control.SetReadDeadline(time.Time{})

	entries, position, err := u.firstEntries(ctx, cmp.Or(c.GetHeader("Last-Event-ID"), c.Query("after")))
	if err == nil {
		err = out.send(position, entries)
	}
	defer out.setWriteDeadline() // for the end of the answer
	tick := time.NewTicker(feedInterval)
	defer tick.Stop()
	sent := time.Now()
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case <-u.stopped:
			return
		case <-tick.C:
		}
		var next string
		if entries, next, err = u.cfg.Store.FeedAfter(ctx, position); err != nil {
			break
		}
		if len(entries) > 0 || time.Since(sent) > feedKeepAlive {
			err, position, sent = out.send(next, entries), next, time.Now()
		}
	}
	if ctx.Err() == nil {
		u.cfg.Log.DebugContext(ctx, "a feed of the operator's page ended", "err", err)
	}
}

// firstEntries returns the entries that a browser missed or, without a last position, the latest.
func (u *UI) firstEntries(ctx context.Context, last string) ([]ooo.FeedEntry, string, error) {
	if last != "" {
		return u.cfg.Store.FeedAfter(ctx, last)
	}
	return u.cfg.Store.RecentFeed(ctx, recentEntries)
}

// stream writes server-sent events.
type stream struct {
	w       gin.ResponseWriter
	control *http.ResponseController
}

func (s stream) setWriteDeadline() { _ = s.control.SetWriteDeadline(time.Now().Add(feedWriteTimeout)) }

// send writes an event for each entry and a last event with the position after them.
func (s stream) send(position string, entries []ooo.FeedEntry) error {
	s.setWriteDeadline()
	for _, e := range entries {
		body, err := json.Marshal(item{e.Event, e.Address, e.Name})
		if err != nil {
			return fmt.Errorf("encode feed entry: %w", err)
		}
		if _, err := fmt.Fprintf(s.w, "event: news\ndata: %s\n\n", body); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(s.w, "id: %s\nevent: position\ndata: %d\n\n", position, len(entries)); err != nil {
		return err
	}
	return s.control.Flush()
}
