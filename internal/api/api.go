// Package api is what the mediator and the operator ask of the service: whom to
// monitor, what is known of them, and whether all is well.
//
// # The story
//
// The mediator speaks the first outlook-monitor's language: POST /monitor with
// texts to the letter, and GET / to be asked for its users. Everything else is
// JSON below /api/users. A request only changes records and marks users; reading
// and telling is done by others. The one call to Graph is the look-up of a user
// that is not monitored yet, because the mediator wants to hear at once whether
// there is such a user. If Graph can't tell, the user is taken all the same and
// looked up later.
//
// The mediator gives up after 10 s, so every answer but that of GET / comes
// within 8.
package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

// Store has the records.
type Store interface {
	// User returns [ooo.ErrNotMonitored] if there is no record.
	User(ctx context.Context, key ooo.Key) (ooo.User, error)
	// Users returns up to limit monitored users by address.
	Users(ctx context.Context, limit int, cursor string) (users []ooo.User, next string, err error)
	// Start monitors an address; a zero person is looked up later.
	Start(ctx context.Context, address string, person ooo.Person) (ooo.Started, error)
	// StartAll monitors many addresses, which are looked up later.
	StartAll(ctx context.Context, addresses []string) error
	// Stop returns [ooo.ErrNotMonitored] if the user was not monitored.
	Stop(ctx context.Context, key ooo.Key) error
	// StopBefore is Stop for what was asked for at that time: a user that was
	// started since is left alone, and the error is [ooo.ErrNotMonitored].
	StopBefore(ctx context.Context, key ooo.Key, at time.Time) error
	// Named returns the records of keys that there are, in any order.
	Named(ctx context.Context, keys []ooo.Key) ([]ooo.User, error)
	Mark(ctx context.Context, q ooo.Queue, marks ...ooo.Mark) (known int, err error)
	// Pause keeps a wait that Graph asked for; Paused returns until when it lasts.
	Pause(ctx context.Context, name string, until time.Time) error
	Paused(ctx context.Context, name string) (time.Time, error)
	Resend(ctx context.Context, key ooo.Key) error
	History(ctx context.Context, key ooo.Key, limit int) ([]ooo.Event, error)
}

// Directory finds people. The errors are those of package ooo.
type Directory interface {
	Find(ctx context.Context, address string) (ooo.Person, error)
}

// Check is a dependency that /readyz tells of.
type Check struct {
	Name     string
	Required bool // the service is not ready without it
	// Excused says that the service is ready without it all the same; nil: never.
	Excused func() bool
	// Probe returns what there is to know, and an error if the dependency is not
	// there. It returns when ctx ends.
	Probe func(ctx context.Context) (detail string, err error)
}

// Config says what an [API] works with.
type Config struct {
	Store     Store
	Directory Directory
	Sync      func(ctx context.Context) error // asks the mediator for its users
	Ready     func() bool                     // whether the store may be written to; nil: always
	Checks    []Check
	Metrics   http.Handler
	Token     string         // demanded of callers; empty: none
	Level     *slog.LevelVar // of Log, to be changed on request; nil: one that nobody looks at
	Log       *slog.Logger
}

// API answers the mediator and the operator.
type API struct {
	cfg   Config
	token [sha256.Size]byte
	debts *debts
}

// How long things may take.
const (
	answerTime = 7 * time.Second // everything but a sync
	findTime   = 5 * time.Second
	bodyTime   = 5 * time.Second
	syncTime   = 50 * time.Second
	probeTime  = 2 * time.Second
)

// New returns an API.
func New(cfg Config) (*API, error) {
	if cfg.Store == nil || cfg.Directory == nil || cfg.Sync == nil || cfg.Metrics == nil {
		return nil, errors.New("api: Store, Directory, Sync and Metrics are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Level == nil {
		cfg.Level = new(slog.LevelVar)
	}
	if cfg.Ready == nil {
		cfg.Ready = func() bool { return true }
	}
	return &API{cfg: cfg, token: sha256.Sum256([]byte(cfg.Token)), debts: newDebts()}, nil
}

// route is a method and path, who answers, and what it needs.
type route struct {
	method, path string
	open         bool // no token is needed
	limit        time.Duration
	answer       func(*API, *gin.Context)
}

// routes is all there is. Each also answers with a slash at the end, and HEAD
// where it answers GET at once.
var routes = []route{
	{http.MethodGet, "/", false, syncTime, (*API).sync},
	{http.MethodHead, "/", false, answerTime, (*API).nothing},
	{http.MethodPost, "/monitor", false, answerTime, (*API).monitor},
	{http.MethodGet, "/api/users", false, answerTime, (*API).list},
	{http.MethodPost, "/api/users", false, answerTime, (*API).startMany},
	{http.MethodGet, "/api/users/:email", false, answerTime, (*API).show},
	{http.MethodPut, "/api/users/:email", false, answerTime, (*API).put},
	{http.MethodDelete, "/api/users/:email", false, answerTime, (*API).remove},
	{http.MethodPost, "/api/users/:email/check", false, answerTime, (*API).check},
	{http.MethodPost, "/api/users/:email/resend", false, answerTime, (*API).resend},
	{http.MethodGet, "/api/users/:email/history", false, answerTime, (*API).history},
	{http.MethodGet, "/api/openapi.json", false, answerTime, (*API).describe},
	{http.MethodGet, "/api/loglevel", false, answerTime, (*API).showLevel},
	{http.MethodPut, "/api/loglevel", false, answerTime, (*API).setLevel},
	{http.MethodGet, "/debug/pprof", false, answerTime, (*API).profiles},
	{http.MethodGet, "/debug/pprof/:name", false, profileTime, (*API).profile},
	{http.MethodGet, "/metrics", false, answerTime, (*API).metrics},
	{http.MethodGet, "/healthz", true, answerTime, (*API).alive},
	{http.MethodHead, "/healthz", true, answerTime, (*API).alive},
	{http.MethodGet, "/readyz", true, answerTime, (*API).ready},
	{http.MethodHead, "/readyz", true, answerTime, (*API).ready},
}

// Register adds all routes.
func (a *API) Register(to gin.IRoutes) {
	for _, r := range routes {
		handle := func(c *gin.Context) {
			if !r.open && !a.admitted(c.Request) {
				refuseStranger(c)
				return
			}
			// A body that dribbles must not hold up the answer. Without one, net/http
			// would take the deadline for a caller who has gone. Writers that can't
			// have a deadline are those of tests.
			if c.Request.ContentLength != 0 {
				_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(bodyTime))
			}
			ctx, cancel := context.WithTimeout(c.Request.Context(), r.limit)
			defer cancel()
			c.Request = c.Request.WithContext(ctx)
			r.answer(a, c)
		}
		methods := []string{r.method}
		if r.method == http.MethodGet && r.limit == answerTime && !a.looked(r.path) {
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

// looked says whether HEAD has a route of its own.
func (a *API) looked(path string) bool {
	return slices.ContainsFunc(routes, func(r route) bool { return r.method == http.MethodHead && r.path == path })
}

func (a *API) metrics(c *gin.Context) { a.cfg.Metrics.ServeHTTP(c.Writer, c.Request) }

func (a *API) nothing(c *gin.Context) { c.Status(http.StatusOK) }

// sync asks the mediator for its users. The texts are the first
// outlook-monitor's.
func (a *API) sync(c *gin.Context) {
	text := "EXCHANGE OOO MAIN PAGE : Mediator Server sync SUCCESSFUL."
	if err := a.cfg.Sync(c.Request.Context()); err != nil {
		if !errors.Is(err, context.Canceled) { // the caller left, the sync goes on
			a.cfg.Log.WarnContext(c.Request.Context(), "a sync was asked for and failed", "err", err)
		}
		text = "EXCHANGE OOO MAIN PAGE : Unable to sync with Mediator Server."
	}
	c.String(http.StatusOK, "%s", text)
}
