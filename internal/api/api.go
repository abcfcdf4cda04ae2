// Package api is what the mediator and the operator ask of the service: whom to
// monitor, what is known of them, and whether all is well.
//
// # The story
//
// The mediator speaks the first outlook-monitor's language: POST /monitor with
// texts to the letter, and GET / to be asked for its users. Everything else is
// JSON below /api/users. A request only writes wishes and leaves hints; the owner of
// the mailbox carries them out. A start of an address that is monitored already
// writes nothing. The one call to Graph is the look-up of an address that is not
// monitored yet, because the mediator wants to hear at once whether there is such a
// user. If Graph can't tell, the wish is stored all the same and resolved later.
//
// Wishes change by compare-and-swap, so of two requests for one address the later one
// counts, whichever replicas they reach.
//
// The mediator gives up after 10 s, so every answer but that of GET / comes
// within 8. Whoever has no token is answered only on this machine's own names, and
// what changes something must not come from a page of another site.
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
	"outlook-monitor/internal/store"
)

// Store has the wishes and what is known of the users.
type Store interface {
	Wishes
	Views
}

// Wishes say what is to be monitored.
type Wishes interface {
	// Wish returns a zero wish if there is none. One that can't be read is
	// [store.ErrDamaged] and has its nonce.
	Wish(ctx context.Context, address string) (ooo.Wish, error)
	Wishes(ctx context.Context, addresses ...string) ([]ooo.Wish, error)
	// SwapWish replaces old and leaves the hint, if nobody changed the wish since.
	SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error)
	SwapWishes(ctx context.Context, changes []store.WishChange) ([]bool, error)
	// RecordOf returns the record that an address was last saved in; empty if there is none.
	RecordOf(ctx context.Context, address string) (ooo.RecordID, error)
	// Summary returns the row of a wish; false: the owner has not written one.
	Summary(ctx context.Context, w ooo.Wish) (ooo.Summary, bool, error)
}

// Views are what is known of monitored users. Of others the error is
// [ooo.ErrNotMonitored].
type Views interface {
	User(ctx context.Context, address string) (ooo.User, error)
	// Users returns up to limit users by address.
	Users(ctx context.Context, limit int, cursor string) (users []ooo.User, next string, err error)
	History(ctx context.Context, address string, limit int) ([]ooo.Event, error)
}

// Directory finds people. The errors are those of package ooo.
type Directory interface {
	Find(ctx context.Context, address string) (ooo.Person, error)
}

// Check is a dependency that /readyz shows.
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
	Leave     func(ctx context.Context, hints ...ooo.Hint) error // for the owners of mailboxes
	Directory Directory
	// Wait returns how long Graph's wait of that name lasts, SetWait sets one for all
	// replicas; nil: there are none.
	Wait    func(name string) time.Duration
	SetWait func(ctx context.Context, name string, d time.Duration) error
	Sync    func(ctx context.Context) error // asks the mediator for its users
	Owe     func()                          // has the mediator asked for its users as soon as it answers
	Ready   func() bool                     // whether the store may be written to; nil: always
	Checks  []Check
	Metrics http.Handler
	Token   string // demanded of callers; empty: none
	// Hosts says which Host headers are answered; nil: any with a token, [LoopbackHost]
	// without one.
	Hosts func(host string) bool
	Level *slog.LevelVar // of Log, to be changed on request; nil: one that nobody looks at
	Log   *slog.Logger
}

// API answers the mediator and the operator.
type API struct {
	cfg    Config
	token  [sha256.Size]byte
	cross  *http.CrossOriginProtection
	stops  *stops
	health health
}

// How long things may take.
const (
	answerTime = 7 * time.Second // everything but a sync
	findTime   = 5 * time.Second
	bodyTime   = 5 * time.Second
	syncTime   = 50 * time.Second
	probeTime  = 2 * time.Second
	lateTime   = 2 * time.Second // a stop that is retried
)

// New returns an API.
func New(cfg Config) (*API, error) {
	if cfg.Store == nil || cfg.Leave == nil || cfg.Directory == nil || cfg.Sync == nil || cfg.Owe == nil || cfg.Metrics == nil {
		return nil, errors.New("api: Store, Leave, Directory, Sync, Owe and Metrics are required")
	}
	if cfg.Wait == nil {
		cfg.Wait = func(string) time.Duration { return 0 }
	}
	if cfg.SetWait == nil {
		cfg.SetWait = func(context.Context, string, time.Duration) error { return nil }
	}
	if cfg.Hosts == nil {
		cfg.Hosts = func(host string) bool { return cfg.Token != "" || LoopbackHost(host) }
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
	return &API{cfg: cfg, token: sha256.Sum256([]byte(cfg.Token)), cross: http.NewCrossOriginProtection(), stops: newStops()}, nil
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
			if !r.open && !a.cfg.Hosts(c.Request.Host) {
				refuse(c, http.StatusForbidden, "set MONITOR_TOKEN to be reached by this name; without one only localhost and loopback addresses are")
				return
			}
			if a.crossSite(c.Request) {
				refuse(c, http.StatusForbidden, "this request comes from a page of another site")
				return
			}
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
			a.cfg.Log.WarnContext(c.Request.Context(), "requested sync failed", "err", err)
		}
		text = "EXCHANGE OOO MAIN PAGE : Unable to sync with Mediator Server."
	}
	c.String(http.StatusOK, "%s", text)
}
