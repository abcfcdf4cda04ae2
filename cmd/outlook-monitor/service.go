package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/gin-gonic/gin"
	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/deliver"
	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/mailbox"
	"outlook-monitor/internal/partition"
	"outlook-monitor/internal/poll"
	"outlook-monitor/internal/schedule"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/store"
	"outlook-monitor/internal/subscribe"
	"outlook-monitor/internal/webhook"
)

type serviceConfig struct {
	settings config.Settings
	log      *slog.Logger
	level    *slog.LevelVar // the level of log

	listener net.Listener   // the public one; nil: listen on LISTEN_ADDR
	roots    *x509.CertPool // trusted for Graph; nil: the system's
}

// startGrace is how long the first requests wait, in the listen queue, for the first answer of
// Redis. Without it they would get 503 in the moments after each start.
const startGrace = 2 * time.Second

// task runs until its context ends, and returns once everything in flight is finished.
type task func(context.Context) error

// service is the whole program, ready to run.
type service struct {
	settings  config.Settings
	log       *slog.Logger
	started   []any // attributes of the log line "started"
	listeners []server.Listener
	store     *store.Store
	ready     atomic.Bool // Redis was reached, and its schema is supported
	seen      *observer

	// These are read by /readyz and the gauges.
	graph      *graph.Client
	mediator   *deliver.Mediator
	public     *publicURL
	owners     *partition.Owners
	registry   *mailbox.Registry
	poller     *poll.Poller
	deliverer  *deliver.Deliverer
	subscriber *subscribe.Subscriber
	expiry     map[string]func() time.Time // of certificates, by use

	workers []task // start once Redis is ready
	base    []task // needed by all others: start first, stop last
	closers []func() error
}

// Run serves until ctx ends, and returns once everything in flight is finished and all
// partitions are released. Listeners and workers stop together; the workers drain and
// release the partitions. Then the base tasks stop, and finally Redis and tracing close.
func (s *service) Run(ctx context.Context) error {
	context.AfterFunc(ctx, func() {
		s.log.InfoContext(ctx, "stopping", "cause", context.Cause(ctx))
		notifySystemd(daemon.SdNotifyStopping, s.log)
	})
	s.log.InfoContext(ctx, "started", s.started...)
	// The listeners are open. It would be wrong to wait until /readyz is 200: systemd would
	// kill a service that starts during an outage of Redis or Graph.
	notifySystemd(daemon.SdNotifyReady, s.log)

	baseCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var base errgroup.Group
	for _, run := range s.base {
		base.Go(func() error { return run(baseCtx) })
	}
	work, working := errgroup.WithContext(ctx)
	starting, ready := context.WithTimeout(working, startGrace)
	defer ready()
	for _, l := range s.listeners {
		work.Go(func() error {
			<-starting.Done()
			return server.Serve(working, l, s.log)
		})
	}
	work.Go(func() error { return s.work(working, ready) })
	err := work.Wait()
	stop()
	return errors.Join(err, base.Wait(), s.close())
}

// work waits for Redis, calls ready, and runs the workers.
func (s *service) work(ctx context.Context, ready func()) error {
	if err := s.store.Ready(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := inspect(ctx, s.store, s.log); err != nil {
		return err
	}
	s.ready.Store(true)
	ready()
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range s.workers {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

// close closes what newService opened, in reverse order.
func (s *service) close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		if err := c(); err != nil && !errors.Is(err, net.ErrClosed) { // server.Serve closes listeners
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func addresses(listeners []server.Listener) (all []string) {
	for _, l := range listeners {
		all = append(all, l.Addr().String())
	}
	return all
}

// registerReceiver adds the routes for Graph, also below the path of PUBLIC_URL, which a proxy
// may keep or remove.
func registerReceiver(receiver *webhook.Receiver, engine *gin.Engine, publicURL config.Secret) {
	receiver.Register(engine)
	if path := publicURL.URL().Path; strings.Trim(path, "/") != "" {
		receiver.Register(engine.Group(path))
	}
}

// listen opens a listener at the address of a setting, unless it is open already.
func (s *service) listen(setting, address string, l server.Listener) (err error) {
	if l.Listener == nil {
		if l.Listener, err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("listen: %w: choose another %s", err, setting)
		}
	}
	s.closers = append(s.closers, l.Close)
	s.listeners = append(s.listeners, l)
	return nil
}

// notifySystemd reports the state of the service to systemd, if systemd started it.
func notifySystemd(state string, log *slog.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd not notified", "state", state, "err", err)
	}
}

// watchdog returns a task that notifies systemd's watchdog twice per WatchdogSec. It first
// calls alive, which must return soon unless the service needs a restart; an outage of
// Redis, Graph or the mediator must not block it.
func watchdog(alive func(), log *slog.Logger) task {
	return func(ctx context.Context) error {
		timeout, err := daemon.SdWatchdogEnabled(false)
		if err != nil || timeout == 0 { // not started by systemd, or without a watchdog
			return err
		}
		for {
			alive()
			notifySystemd(daemon.SdNotifyWatchdog, log)
			if !schedule.Sleep(ctx, timeout/2) {
				return nil
			}
		}
	}
}
