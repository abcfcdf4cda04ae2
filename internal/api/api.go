// Package api serves the mediator and the operator: which users to monitor, what is known
// about them, and whether the service is healthy.
//
// The mediator uses the API of the first outlook-monitor: POST /monitor, answered with
// exactly the same texts, and GET /, which makes the service ask the mediator for its
// users. Everything else is JSON below /api/users. A request only writes wishes and
// leaves hints; the owner of the mailbox carries them out. The only call to Graph is the
// look-up of an address that is not monitored yet, because the mediator must learn at
// once whether the user exists. If Graph can't say, the wish is stored anyway and the
// address is looked up later.
//
// Wishes change by compare-and-swap, so the last acknowledged start or stop wins,
// whichever replicas received them.
//
// The mediator gives up after 10 s, so every answer except that of GET / arrives within
// 8 s. The token is checked first ([server.Access]): no body is read for a caller that
// does not show it.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
)

// Wishes stores which addresses should be monitored.
type Wishes interface {
	// Wish returns a zero wish if there is none. For a wish that can't be read it returns
	// [store.ErrDamaged] and only the nonce.
	Wish(ctx context.Context, address string) (ooo.Wish, error)
	Wishes(ctx context.Context, addresses ...string) ([]ooo.Wish, error)
	// SwapWish replaces old and leaves a hint for the owner, unless the wish has changed since
	// it was read.
	SwapWish(ctx context.Context, old, next ooo.Wish) (bool, error)
	SwapWishes(ctx context.Context, changes []store.WishChange) ([]bool, error)
	// RecordOf returns the record that an address was last saved in, or "" if there is none.
	RecordOf(ctx context.Context, address string) (ooo.RecordID, error)
	// Summary returns the summary of a wish, or false if the owner has not written one. It returns
	// [store.ErrChanged] if the address has another wish by now, and [store.ErrDamaged] if the row
	// or the record can't be read.
	Summary(ctx context.Context, w ooo.Wish) (ooo.Summary, bool, error)
}

// Users reads what is known about the monitored users. It returns [ooo.ErrNotMonitored]
// for other users.
type Users interface {
	User(ctx context.Context, address string) (ooo.User, error)
	// Users returns up to limit users, ordered by address.
	Users(ctx context.Context, limit int, cursor string) (users []ooo.User, next string, err error)
	History(ctx context.Context, address string, limit int) ([]ooo.Event, error)
}

// Directory finds people. It returns the errors of package ooo.
type Directory interface {
	Find(ctx context.Context, address string) (ooo.Person, error)
}

// Config configures an [API]. All of it but Checks is required.
type Config struct {
	Wishes     Wishes
	Users      Users
	LeaveHints func(ctx context.Context, hints ...ooo.Hint) error // leaves hints for the owners
	Directory  Directory
	// Wait returns how much longer the named wait that Graph requested lasts. SetWait
	// sets one for all replicas.
	Wait        func(name string) time.Duration
	SetWait     func(ctx context.Context, name string, d time.Duration)
	Sync        func(ctx context.Context) error // asks the mediator for its users
	RequestSync func()                          // makes some replica call Sync later
	Ready       func() bool                     // reports whether the store may be used
	Checks      []Check
	Metrics     http.Handler
	Access      *server.Access
	Level       *slog.LevelVar // of Log; changed by PUT /api/loglevel
	Log         *slog.Logger
}

// API serves the mediator and the operator.
type API struct {
	cfg     Config
	changes *semaphore.Weighted           // requests that change one user
	bulk    *semaphore.Weighted           // requests that start many users
	stops   *lru.Cache[string, time.Time] // that were answered 503, with the time of each, by folded address
	health  health
}

// Limits of requests that showed the token.
const (
	maxChanges  = 128 // in flight
	maxBulk     = 4   // in flight
	maxBody     = 64 << 10
	maxBulkBody = 4 << 20

	answerTimeout  = 7 * time.Second
	queueTimeout   = 5 * time.Second // for a request that is over maxChanges or maxBulk
	findTimeout    = 5 * time.Second
	storeTime      = 2 * time.Second // of answerTimeout, that a look-up leaves for storing a start
	bodyTimeout    = 5 * time.Second
	syncTimeout    = 50 * time.Second // the calls to the mediator take up to 40 s
	profileTimeout = 55 * time.Second // the server ends answers after a minute
	retryTimeout   = 2 * time.Second  // for each retry of a stop
)

// New returns an API.
func New(cfg Config) *API {
	stops, _ := lru.New[string, time.Time](maxStops) // fails only for a size below 1
	return &API{cfg: cfg, changes: semaphore.NewWeighted(maxChanges), bulk: semaphore.NewWeighted(maxBulk), stops: stops}
}

type route struct {
	method, path string
	open         bool          // needs no token
	needsStore   bool          // answers 503 until Ready; routes that change users leave it off: acquire checks it
	maxBody      int64         // 0: maxBody
	timeout      time.Duration // 0: answerTimeout
	handler      func(*API, *gin.Context)
}

// routes lists all routes. Every path also works with a trailing slash. A GET route also
// answers HEAD, except GET /: HEAD / starts no sync.
var routes = []route{
	{method: http.MethodGet, path: "/", timeout: syncTimeout, handler: (*API).sync},
	{method: http.MethodHead, path: "/", handler: func(*API, *gin.Context) {}},
	{method: http.MethodPost, path: "/monitor", handler: (*API).monitor},
	{method: http.MethodGet, path: "/api/users", needsStore: true, handler: answer((*API).list)},
	{method: http.MethodPost, path: "/api/users", maxBody: maxBulkBody, handler: answer((*API).startMany)},
	{method: http.MethodGet, path: "/api/users/:email", needsStore: true, handler: answer((*API).show)},
	{method: http.MethodPut, path: "/api/users/:email", handler: answer((*API).put)},
	{method: http.MethodDelete, path: "/api/users/:email", handler: (*API).remove},
	{method: http.MethodPost, path: "/api/users/:email/check", needsStore: true, handler: leaveHint(ooo.HintCheck)},
	{method: http.MethodPost, path: "/api/users/:email/cover", needsStore: true, handler: leaveHint(ooo.HintSubscription)},
	{method: http.MethodPost, path: "/api/users/:email/resend", needsStore: true, handler: leaveHint(ooo.HintResend)},
	{method: http.MethodGet, path: "/api/users/:email/history", needsStore: true, handler: answer((*API).history)},
	{method: http.MethodGet, path: "/api/openapi.json", handler: (*API).describe},
	{method: http.MethodGet, path: "/api/loglevel", handler: answer((*API).showLevel)},
	{method: http.MethodPut, path: "/api/loglevel", handler: answer((*API).setLevel)},
	{method: http.MethodGet, path: "/debug/pprof", handler: (*API).profile},
	{method: http.MethodGet, path: "/debug/pprof/:name", timeout: profileTimeout, handler: (*API).profile},
	{method: http.MethodGet, path: "/metrics", handler: (*API).metrics},
	{method: http.MethodGet, path: "/healthz", open: true, handler: (*API).alive},
	{method: http.MethodGet, path: "/readyz", open: true, handler: (*API).ready},
}

// Register adds all routes.
func (a *API) Register(to gin.IRoutes) {
	for _, r := range routes {
		handle := func(c *gin.Context) { a.handle(c, r) }
		methods := []string{r.method}
		if r.method == http.MethodGet && r.path != "/" {
			methods = append(methods, http.MethodHead) // net/http omits the body
		}
		for _, method := range methods {
			to.Handle(method, r.path, handle)
			if r.path != "/" {
				to.Handle(method, r.path+"/", handle)
			}
		}
	}
}

// handle answers a request if the caller is allowed to make it.
func (a *API) handle(c *gin.Context, r route) {
	if !r.open {
		if reason := a.cfg.Access.Forbidden(c.Request); reason != "" {
			Refuse(c, http.StatusForbidden, reason)
			return
		}
		if !a.cfg.Access.Admits(c.Request) {
			refuseUnauthorized(c)
			return
		}
	}
	limit := cmp.Or(r.maxBody, maxBody)
	if c.Request.ContentLength > limit {
		c.Header("Connection", "close") // the body is unread
		if text := errTooLarge.Error(); r.path == "/monitor" {
			a.say(c, http.StatusRequestEntityTooLarge, text, gin.H{"error": text})
		} else {
			Refuse(c, http.StatusRequestEntityTooLarge, text)
		}
		return
	}
	if r.needsStore && !a.cfg.Ready() {
		a.fail(c, errNotReady)
		return
	}
	// A slow body must not delay the answer. A request without a body gets no deadline,
	// because net/http would take its end for a disconnect. Only tests have writers that
	// don't support deadlines.
	if c.Request.ContentLength != 0 {
		_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(bodyTimeout))
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
	}
	// For net/http a caller that has closed its half of the connection is gone, but it may wait for
	// the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), cmp.Or(r.timeout, answerTimeout))
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	r.handler(a, c)
}

// sync asks the mediator for its users. The texts are those of the first outlook-monitor.
func (a *API) sync(c *gin.Context) {
	text := "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL."
	if err := a.cfg.Sync(c.Request.Context()); err != nil {
		a.cfg.Log.WarnContext(c.Request.Context(), "requested sync failed", "err", err)
		text = "EXCHANGE OOO MAIN PAGE : Unable to sync with Mediator Server."
	}
	c.String(http.StatusOK, "%s", text)
}
