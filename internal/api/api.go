// Package api is what the mediator and the operator ask of the service: whom to monitor,
// what is known of them, and whether the service is healthy.
//
// The mediator uses the first outlook-monitor's API: POST /monitor, answered with exactly
// its texts, and GET /, which makes the service ask for its users. Everything else is
// JSON below /api/users. A request only writes wishes and leaves hints; the owner of the
// mailbox carries them out. The one call to Graph is the look-up of an address that is
// not monitored yet, because the mediator must learn at once whether there is such a
// user. If Graph can't say, the wish is stored all the same and resolved later.
//
// Wishes change by compare-and-swap, and every start and stop writes one, so what was
// acknowledged last counts, whichever replicas were asked.
//
// The mediator gives up after 10 s, so every answer but that of GET / comes within 8.
// The token comes before everything else ([server.Access]): only callers that show it
// have their body read.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
)

// Wishes say which addresses are to be monitored.
type Wishes interface {
	// Wish returns a zero wish if there is none. One that can't be read is
	// [store.ErrDamaged] and has its nonce.
	Wish(ctx context.Context, address string) (ooo.Wish, error)
	Wishes(ctx context.Context, addresses ...string) ([]ooo.Wish, error)
	// SwapWish replaces old and leaves the hint, if nobody changed the wish since; a zero
	// hint is none.
	SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error)
	SwapWishes(ctx context.Context, changes []store.WishChange) ([]bool, error)
	// RecordOf returns the record that an address was last saved in; empty if there is none.
	RecordOf(ctx context.Context, address string) (ooo.RecordID, error)
	// Summary returns the row of a wish; false: the owner has not written one.
	Summary(ctx context.Context, w ooo.Wish) (ooo.Summary, bool, error)
}

// Users are what is known of the monitored users. The error of one who is not monitored
// is [ooo.ErrNotMonitored].
type Users interface {
	User(ctx context.Context, address string) (ooo.User, error)
	// Users returns up to limit users by address.
	Users(ctx context.Context, limit int, cursor string) (users []ooo.User, next string, err error)
	History(ctx context.Context, address string, limit int) ([]ooo.Event, error)
}

// Directory finds people. The errors are those of package ooo.
type Directory interface {
	Find(ctx context.Context, address string) (ooo.Person, error)
}

// Config says what an [API] works with.
type Config struct {
	Wishes    Wishes
	Users     Users
	Leave     func(ctx context.Context, hints ...ooo.Hint) error // for the owners of mailboxes
	Directory Directory
	// Wait returns how long Graph's wait of that name lasts, SetWait sets one for all
	// replicas.
	Wait        func(name string) time.Duration
	SetWait     func(ctx context.Context, name string, d time.Duration) error
	Sync        func(ctx context.Context) error // asks the mediator for its users
	RequestSync func()                          // has Sync called later, by some replica
	Ready       func() bool                     // whether the store may be written to
	Checks      []Check
	Metrics     http.Handler
	Access      *server.Access
	Level       *slog.LevelVar // of Log, changed on request
	Log         *slog.Logger
}

// API answers the mediator and the operator.
type API struct {
	cfg    Config
	turns  *semaphore.Weighted // of requests that change one user
	bulk   *semaphore.Weighted // of requests that start many
	stops  *stops
	health health
}

// Limits of requests. Callers have shown the token: these are for too many at once.
const (
	changesAtOnce = 128
	bulkAtOnce    = 4
	maxRequest    = 64 << 10 // bytes of a body
	maxBulk       = 4 << 20

	answerTime  = 7 * time.Second // everything but a sync and a profile
	turnTime    = 5 * time.Second // of it, to wait for a turn
	findTime    = 5 * time.Second
	bodyTime    = 5 * time.Second
	syncTime    = 50 * time.Second
	profileTime = 55 * time.Second // the server ends answers after a minute
	retryTime   = 2 * time.Second  // a stop that is retried
)

// New returns an API. All of cfg but Checks is required.
func New(cfg Config) (*API, error) {
	if cfg.Wishes == nil || cfg.Users == nil || cfg.Leave == nil || cfg.Directory == nil || cfg.Sync == nil || cfg.Access == nil {
		return nil, errors.New("api: Wishes, Users, Leave, Directory, Sync and Access are required")
	}
	return &API{
		cfg: cfg, turns: semaphore.NewWeighted(changesAtOnce), bulk: semaphore.NewWeighted(bulkAtOnce), stops: newStops(),
	}, nil
}

// route is a method and path, who answers, and what it needs.
type route struct {
	method, path string
	open         bool // no token is needed
	maxBody      int64
	limit        time.Duration
	answer       func(*API, *gin.Context)
}

// routes is all there is. Each also answers with a slash at the end, and HEAD where it
// answers GET; HEAD / alone is something else.
var routes = []route{
	{http.MethodGet, "/", false, maxRequest, syncTime, (*API).sync},
	{http.MethodHead, "/", false, maxRequest, answerTime, func(*API, *gin.Context) {}},
	{http.MethodPost, "/monitor", false, maxRequest, answerTime, (*API).monitor},
	{http.MethodGet, "/api/users", false, maxRequest, answerTime, (*API).list},
	{http.MethodPost, "/api/users", false, maxBulk, answerTime, (*API).startMany},
	{http.MethodGet, "/api/users/:email", false, maxRequest, answerTime, (*API).show},
	{http.MethodPut, "/api/users/:email", false, maxRequest, answerTime, (*API).put},
	{http.MethodDelete, "/api/users/:email", false, maxRequest, answerTime, (*API).remove},
	{http.MethodPost, "/api/users/:email/check", false, maxRequest, answerTime, (*API).check},
	{http.MethodPost, "/api/users/:email/resend", false, maxRequest, answerTime, (*API).resend},
	{http.MethodGet, "/api/users/:email/history", false, maxRequest, answerTime, (*API).history},
	{http.MethodGet, "/api/openapi.json", false, maxRequest, answerTime, (*API).describe},
	{http.MethodGet, "/api/loglevel", false, maxRequest, answerTime, (*API).showLevel},
	{http.MethodPut, "/api/loglevel", false, maxRequest, answerTime, (*API).setLevel},
	{http.MethodGet, "/debug/pprof", false, maxRequest, answerTime, (*API).profiles},
	{http.MethodGet, "/debug/pprof/:name", false, maxRequest, profileTime, (*API).profile},
	{http.MethodGet, "/metrics", false, maxRequest, answerTime, (*API).metrics},
	{http.MethodGet, "/healthz", true, maxRequest, answerTime, (*API).alive},
	{http.MethodGet, "/readyz", true, maxRequest, answerTime, (*API).ready},
}

// Register adds all routes.
func (a *API) Register(to gin.IRoutes) {
	for _, r := range routes {
		handle := func(c *gin.Context) { a.handle(c, r) }
		methods := []string{r.method}
		if r.method == http.MethodGet && r.path != "/" {
			methods = append(methods, http.MethodHead) // net/http leaves the body out
		}
		for _, method := range methods {
			to.Handle(method, r.path, handle)
			if r.path != "/" {
				to.Handle(method, r.path+"/", handle)
			}
		}
	}
}

// handle answers a request if its caller may make it.
func (a *API) handle(c *gin.Context, r route) {
	if !r.open {
		if reason := a.cfg.Access.Forbidden(c.Request); reason != "" {
			refuse(c, http.StatusForbidden, reason)
			return
		}
		if !a.cfg.Access.Admits(c.Request) {
			refuseUnauthorized(c)
			return
		}
	}
	if c.Request.ContentLength > r.maxBody {
		refuse(c, http.StatusRequestEntityTooLarge, errTooLarge.Error())
		return
	}
	// A slow body must not hold up the answer. Without a body, net/http would take the
	// deadline for a caller who has gone. Writers without deadlines are those of tests.
	if c.Request.ContentLength != 0 {
		_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(bodyTime))
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, r.maxBody)
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), r.limit)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	r.answer(a, c)
}

// sync asks the mediator for its users. The texts are the first outlook-monitor's.
func (a *API) sync(c *gin.Context) {
	text := "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL."
	if err := a.cfg.Sync(c.Request.Context()); err != nil {
		if !errors.Is(err, context.Canceled) { // the caller left, the sync goes on
			a.cfg.Log.WarnContext(c.Request.Context(), "requested sync failed", "err", err)
		}
		text = "EXCHANGE OOO MAIN PAGE : Unable to sync with Mediator Server."
	}
	c.String(http.StatusOK, "%s", text)
}
