package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
)

// Store is what the page shows.
type Store interface {
	// Find returns a page of the monitored users; with the limit 0 it only counts.
	Find(ctx context.Context, q ooo.Query) (ooo.Page, error)
	// User returns one; the error of who is not monitored is [ooo.ErrNotMonitored].
	User(ctx context.Context, address string) (ooo.User, error)
	// RecentFeed returns the newest n entries of all histories and the position after them;
	// FeedAfter, the entries after a position.
	RecentFeed(ctx context.Context, n int) (news []ooo.FeedEntry, position string, err error)
	FeedAfter(ctx context.Context, position string) (news []ooo.FeedEntry, next string, err error)
}

// Replicas are the processes of this service.
type Replicas interface {
	// ReportLoad records that this process is alive and what it did; ReportStop, that it stops.
	ReportLoad(ctx context.Context, r ooo.Replica) error
	ReportStop(ctx context.Context, id string) error
	Replicas(ctx context.Context) ([]ooo.Replica, error)
	// Loads returns what all processes did since then, and the shared clock's time.
	Loads(ctx context.Context) ([]ooo.LoadAt, time.Time, error)
}

// Config says what a [UI] works with.
type Config struct {
	Store    Store
	Replicas Replicas
	// Leave leaves hints for the owners of mailboxes.
	Leave func(ctx context.Context, hints ...ooo.Hint) error
	// API answers what the page asks of /api and /readyz.
	API    http.Handler
	Access *server.Access
	Token  string // that Access demands; empty: none
	// Resources is how many subscriptions each mailbox should have; 0: none.
	Resources int
	Interval  time.Duration // between two reads of a mailbox
	Version   string
	Meter     *Meter
	Log       *slog.Logger
}

// UI is the operator's page.
type UI struct {
	cfg      Config
	key      []byte        // signs sessions
	watchers chan struct{} // capacity [mostWatchers]; holds a token for each open feed
	counts   counts
	self     ooo.Replica
	stopped  chan struct{} // closed when Run ends
}

// answerTime is how long answers may take, and bodies to arrive.
const answerTime = 7 * time.Second

// New returns the operator's page.
func New(cfg Config) (*UI, error) {
	if cfg.Store == nil || cfg.Replicas == nil || cfg.Leave == nil || cfg.API == nil || cfg.Access == nil || cfg.Meter == nil || cfg.Log == nil {
		return nil, errors.New("ui: Store, Replicas, Leave, API, Access, Meter and Log are required")
	}
	return &UI{
		cfg: cfg, key: sessionKey(cfg.Token), watchers: make(chan struct{}, mostWatchers),
		self: thisReplica(cfg.Version), stopped: make(chan struct{}),
	}, nil
}

// route is a method and path, who answers, and what it needs.
type route struct {
	method, path string
	open         bool // no session is needed
	endless      bool // the answer goes on: no deadline
	answer       func(*UI, *gin.Context)
}

// routes is all there is.
var routes = []route{
	{method: http.MethodGet, path: "/ui", open: true, answer: (*UI).redirect},
	{method: http.MethodGet, path: "/ui/", answer: page("index.html")},
	{method: http.MethodHead, path: "/ui/", answer: page("index.html")},
	{method: http.MethodGet, path: "/ui/api.html", answer: page("api.html")},
	{method: http.MethodGet, path: "/ui/open/:file", open: true, answer: (*UI).asset},
	{method: http.MethodGet, path: "/ui/static/:file", answer: (*UI).asset},
	{method: http.MethodPost, path: "/ui/login", open: true, answer: (*UI).login},
	{method: http.MethodPost, path: "/ui/logout", open: true, answer: (*UI).logout},

	{method: http.MethodGet, path: "/ui/api/summary", answer: (*UI).summary},
	{method: http.MethodGet, path: "/ui/api/users", answer: (*UI).list},
	{method: http.MethodPost, path: "/ui/api/users/:email/cover", answer: (*UI).cover},
	{method: http.MethodGet, path: "/ui/api/feed", endless: true, answer: (*UI).feed},
	{method: http.MethodGet, path: "/ui/api/load", answer: (*UI).load},

	// What the API answers.
	{method: http.MethodGet, path: "/ui/api/health", answer: (*UI).health},
	{method: http.MethodPost, path: "/ui/api/users", answer: (*UI).forward},
	{method: http.MethodGet, path: "/ui/api/users/:email", answer: (*UI).forward},
	{method: http.MethodPut, path: "/ui/api/users/:email", answer: (*UI).forward},
	{method: http.MethodDelete, path: "/ui/api/users/:email", answer: (*UI).forward},
	{method: http.MethodPost, path: "/ui/api/users/:email/check", answer: (*UI).forward},
	{method: http.MethodPost, path: "/ui/api/users/:email/resend", answer: (*UI).forward},
	{method: http.MethodGet, path: "/ui/api/users/:email/history", answer: (*UI).forward},
	{method: http.MethodGet, path: "/ui/api/openapi.json", answer: (*UI).forward},
}

// Register adds all routes.
func (u *UI) Register(to gin.IRoutes) {
	for _, r := range routes {
		to.Handle(r.method, r.path, func(c *gin.Context) {
			protect(c.Writer.Header())
			if reason := u.cfg.Access.Forbidden(c.Request); reason != "" {
				refuse(c, http.StatusForbidden, reason)
				return
			}
			if !r.open && !u.admitted(c.Request) {
				u.refuseUnauthorized(c)
				return
			}
			if !r.endless {
				// A body that dribbles must not hold up the answer; the deadline also ends
				// the request's context. Writers that can't have one are those of tests.
				_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(answerTime))
				ctx, cancel := context.WithTimeout(c.Request.Context(), answerTime)
				defer cancel()
				c.Request = c.Request.WithContext(ctx)
			}
			r.answer(u, c)
		})
	}
}

// policy lets the page use what it came with, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// refuse answers with an error in JSON. A body that may not have been read closes the
// connection, or the server would wait for the rest of it.
func refuse(c *gin.Context, status int, text string) {
	if c.Request.ContentLength != 0 {
		c.Header("Connection", "close")
	}
	c.AbortWithStatusJSON(status, gin.H{"error": text})
}

// fail answers a request that the store failed.
func (u *UI) fail(c *gin.Context, err error) {
	u.cfg.Log.WarnContext(c.Request.Context(), "request from the operator's page failed", "route", c.FullPath(), "err", err)
	c.Header("Retry-After", "1")
	refuse(c, http.StatusServiceUnavailable, "Redis is out of reach: try again")
}
