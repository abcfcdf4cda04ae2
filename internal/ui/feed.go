package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

const (
	// mostWatchers bounds what feeds cost: each asks Redis 16 times a second.
	mostWatchers = 16
	feedEvery    = time.Second
	// feedQuiet is how long a feed says nothing at most, so that proxies keep it.
	feedQuiet = 15 * time.Second
	// feedLife is how long a feed goes on; browsers ask for the rest by
	// themselves, and show their session anew.
	feedLife   = 10 * time.Minute
	feedWrite  = 10 * time.Second
	newsAtOnce = 40
)

// item is an entry of the feed as the page shows it.
type item struct {
	ooo.Event
	Email string `json:"email"`
	Name  string `json:"name"`
}

// feed sends what happens to all users, by all replicas, until the browser
// leaves. The id of each event is the position after it, so that a browser that
// comes back gets what it missed.
func (u *UI) feed(c *gin.Context) {
	select {
	case u.watchers <- struct{}{}:
		defer func() { <-u.watchers }()
	default:
		c.Header("Retry-After", "10")
		refuse(c, http.StatusServiceUnavailable, "too many pages are open: try again")
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), feedLife)
	defer cancel()
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := stream{c.Writer, http.NewResponseController(c.Writer)}
	out.endless()

	news, position, err := u.begin(ctx, cmp.Or(c.GetHeader("Last-Event-ID"), c.Query("after")))
	if err == nil {
		err = out.send(position, news)
	}
	defer out.hurry() // what ends the answer must arrive too
	tick := time.NewTicker(feedEvery)
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
		if news, next, err = u.cfg.Store.FeedAfter(ctx, position); err != nil {
			break
		}
		if len(news) > 0 || time.Since(sent) > feedQuiet {
			err, position, sent = out.send(next, news), next, time.Now()
		}
	}
	if ctx.Err() == nil {
		u.cfg.Log.DebugContext(ctx, "a feed of the operator's page ended", "err", err)
	}
}

// begin returns what a browser gets first: what it missed, or the latest.
func (u *UI) begin(ctx context.Context, last string) ([]ooo.FeedEntry, string, error) {
	if last != "" {
		return u.cfg.Store.FeedAfter(ctx, last)
	}
	return u.cfg.Store.RecentFeed(ctx, newsAtOnce)
}

// stream writes server-sent events.
type stream struct {
	w       gin.ResponseWriter
	control *http.ResponseController
}

// endless takes the request's deadlines away. Writers that can't have deadlines
// are those of tests.
func (s stream) endless() {
	_ = s.control.SetReadDeadline(time.Time{})
}

// hurry sets the deadline of the next write.
func (s stream) hurry() { _ = s.control.SetWriteDeadline(time.Now().Add(feedWrite)) }

// send writes the news as one event each and the position after them as the id of the
// last.
func (s stream) send(position string, news []ooo.FeedEntry) error {
	s.hurry()
	for _, n := range news {
		body, err := json.Marshal(item{n.Event, n.Address, n.Name})
		if err != nil {
			return fmt.Errorf("encode news: %w", err)
		}
		if _, err := fmt.Fprintf(s.w, "event: news\ndata: %s\n\n", body); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(s.w, "id: %s\nevent: position\ndata: %d\n\n", position, len(news)); err != nil {
		return err
	}
	return s.control.Flush()
}
