package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
)

// Store provides the data of the page.
type Store interface {
	// Search returns a page of the monitored users, and how many match each filter.
	Search(ctx context.Context, q ooo.Query) (ooo.Page, error)
	// RecentFeed returns the newest n entries of all histories and the position after them.
	// FeedAfter returns the entries after a position.
	RecentFeed(ctx context.Context, n int) (entries []ooo.FeedEntry, position string, err error)
	FeedAfter(ctx context.Context, position string) (entries []ooo.FeedEntry, next string, err error)

	// ReportLoad records that this process is alive and what it did.
	ReportLoad(ctx context.Context, r ooo.Replica) error
	// Reports returns the reports of all processes that are at most age old, oldest first,
	// and the time of the shared clock.
	Reports(ctx context.Context, age time.Duration) ([]ooo.Replica, time.Time, error)
}

// Config configures a [UI]. All of it but Token is required.
type Config struct {
	Store     Store
	Ready     func() bool  // reports whether the store may be used
	API       http.Handler // serves /api and /readyz
	Access    *server.Access
	Token     string        // that Access requires; empty: none
	Resources int           // subscriptions that each mailbox should have
	Interval  time.Duration // POLL_INTERVAL
	Replica   string        // life of this process
	Version   string
	Meter     *Meter
	Log       *slog.Logger
}

// UI is the operator's page.
type UI struct {
	cfg     Config
	key     []byte        // signs sessions
	feeds   chan struct{} // capacity maxFeeds; a semaphore for open feeds
	self    ooo.Replica
	stopped chan struct{} // closed when Run ends
}

// answerTimeout is how long an answer may take, including the body of the request.
const answerTimeout = 7 * time.Second

// New returns the operator's page.
func New(cfg Config) *UI {
	return &UI{
		cfg: cfg, key: sessionKey(cfg.Token), feeds: make(chan struct{}, maxFeeds),
		self: thisReplica(cfg.Replica, cfg.Version), stopped: make(chan struct{}),
	}
}

type route struct {
	method, path string
	open         bool // needs no session
	needsStore   bool // answers 503 until Ready
	stream       bool // has no deadline
	handler      func(*UI, *gin.Context)
}

var routes = []route{
	{method: http.MethodGet, path: "/ui", open: true, handler: (*UI).redirect},
	{method: http.MethodGet, path: "/ui/", handler: page("index.html")},
	{method: http.MethodHead, path: "/ui/", handler: page("index.html")},
	{method: http.MethodGet, path: "/ui/api.html", handler: page("api.html")},
	{method: http.MethodGet, path: "/ui/open/:file", open: true, handler: (*UI).asset},
	{method: http.MethodGet, path: "/ui/static/:file", handler: (*UI).asset},
	{method: http.MethodPost, path: "/ui/login", open: true, handler: (*UI).login},
	{method: http.MethodPost, path: "/ui/logout", open: true, handler: (*UI).logout},

	{method: http.MethodGet, path: "/ui/api/summary", needsStore: true, handler: (*UI).summary},
	{method: http.MethodGet, path: "/ui/api/users", needsStore: true, handler: (*UI).list},
	{method: http.MethodGet, path: "/ui/api/feed", needsStore: true, stream: true, handler: (*UI).feed},
	{method: http.MethodGet, path: "/ui/api/load", needsStore: true, handler: (*UI).load},

	// Answered by the API.
	{method: http.MethodGet, path: "/ui/api/health", handler: (*UI).health},
	{method: http.MethodPost, path: "/ui/api/users", handler: (*UI).forward},
	{method: http.MethodGet, path: "/ui/api/users/:email", handler: (*UI).forward},
	{method: http.MethodPut, path: "/ui/api/users/:email", handler: (*UI).forward},
	{method: http.MethodDelete, path: "/ui/api/users/:email", handler: (*UI).forward},
	{method: http.MethodPost, path: "/ui/api/users/:email/check", handler: (*UI).forward},
	{method: http.MethodPost, path: "/ui/api/users/:email/cover", handler: (*UI).forward},
	{method: http.MethodPost, path: "/ui/api/users/:email/resend", handler: (*UI).forward},
	{method: http.MethodGet, path: "/ui/api/users/:email/history", handler: (*UI).forward},
	{method: http.MethodGet, path: "/ui/api/openapi.json", handler: (*UI).forward},
}

// Register adds all routes.
func (u *UI) Register(to gin.IRoutes) {
	for _, r := range routes {
		to.Handle(r.method, r.path, func(c *gin.Context) {
			setSecurityHeaders(c.Writer.Header())
			if reason := u.cfg.Access.Forbidden(c.Request); reason != "" {
				api.Refuse(c, http.StatusForbidden, reason)
				return
			}
			if !r.open && !u.admitted(c.Request) {
				u.refuseUnauthorized(c)
				return
			}
			if r.needsStore && !u.cfg.Ready() {
				u.fail(c, errors.New("Redis has not been reached since the service started"))
				return
			}
			if !r.stream {
				// A slow body must not delay the answer. Only tests have writers that don't
				// support deadlines.
				_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(answerTimeout))
				ctx, cancel := context.WithTimeout(c.Request.Context(), answerTimeout)
				defer cancel()
				c.Request = c.Request.WithContext(ctx)
			}
			r.handler(u, c)
		})
	}
}

// contentPolicy allows the page to load only its own files.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// setSecurityHeaders adds to the headers that the engine sets ([api.NewEngine]).
func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// fail answers a request that failed in the store.
func (u *UI) fail(c *gin.Context, err error) {
	u.cfg.Log.WarnContext(c.Request.Context(), "request from the operator's page failed", "route", c.FullPath(), "err", err)
	c.Header("Retry-After", "1")
	api.Refuse(c, http.StatusServiceUnavailable, "Redis is unreachable or refuses the request: try again")
}
