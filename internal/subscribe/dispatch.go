package subscribe

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

const (
	concurrency      = 48              // steps in flight that call Graph: each takes it a second or two
	settingsInterval = time.Second     // between checks of URLs, secrets and certificate
	stopTimeout      = 8 * time.Second // for steps in flight when the replica stops
	startRetry       = 500 * time.Millisecond
)

// refreshSettings reads the settings, and schedules a plan of every mailbox if the URLs
// changed; new keys and certificates come with the renewals. It returns false if the settings
// are not known.
func (s *Subscriber) refreshSettings(ctx context.Context) bool {
	urls := s.cfg.URLs()
	if urls == nil {
		return false
	}
	keys, err := s.cfg.Keys(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "clientState secret not readable, retrying", "err", err)
		}
		return false
	}
	want := &Settings{URLs: *urls, Keys: keys, Resources: s.cfg.Resources, Certificate: s.cfg.Certificate()}
	before := s.want.Swap(want)
	if before == nil || want.URLs != before.URLs {
		for m := range s.cfg.Registry.All() {
			s.planNow(m.ID)
		}
	}
	return true
}

// dispatch starts the step of a mailbox, or lets it wait for the budget if it calls Graph.
func (s *Subscriber) dispatch(ctx context.Context, id ooo.RecordID) {
	if _, busy := s.inFlight.Load(id); busy {
		return // the step in flight plans the mailbox at its end
	}
	step, ok := s.plan(id, *s.want.Load())
	if !step.Next.IsZero() {
		s.queue.Sooner(id, step.Next) // a change may have scheduled it earlier since
	}
	switch {
	case !ok:
	case step.callsGraph():
		s.calls.Sooner(id, time.Now())
	default:
		s.start(ctx, id, false)
	}
}

// startCalls starts the steps that call Graph, in the order of their plans, until ctx ends and
// those in flight have ended. Only one step waits for the budget at a time, before it begins: its
// partition counts as busy from then on, and the further writes of steps in flight go first.
func (s *Subscriber) startCalls(ctx, steps context.Context) error {
	var running errgroup.Group
	running.SetLimit(concurrency)
	for s.calls.Wait(ctx) == nil && s.pace(ctx) {
		for _, id := range s.calls.Take(time.Now(), 1) {
			running.Go(func() error {
				if ctx.Err() == nil { // it may have waited for another step to end
					s.start(steps, id, true)
				}
				return nil
			})
		}
	}
	return running.Wait()
}

// pace waits until the budget admits a write and no wait of the app is running. It returns false
// if ctx ends first.
func (s *Subscriber) pace(ctx context.Context) bool {
	for s.awaitWrite(ctx) == nil {
		wait := s.cfg.Owners.Wait(ooo.SubscriptionWait)
		if wait <= 0 {
			return true
		}
		schedule.Sleep(ctx, min(wait, time.Second)) // it may be extended
	}
	return false
}

// plan returns the step that a mailbox needs now. The step Nothing only saves, that hints
// were carried out or when the last notification came. ok is false if there is nothing to save
// either, or this replica does not own the mailbox; Next is valid even then.
func (s *Subscriber) plan(id ooo.RecordID, want Settings) (step Step, ok bool) {
	now := time.Now()
	m, owned := s.cfg.Registry.Get(id)
	if owned {
		hints := s.cfg.Registry.Hints(id, ooo.HintSubscription)
		step = Plan(m, want, hints, now)
		_, notified := s.notified.Load(id)
		if step.Action != Nothing || notified || carriedOut(hints, m, now) {
			return step, true
		}
	}
	if strays := s.cfg.Registry.Hints(id, ooo.HintStray); len(strays) > 0 {
		stray := planStray(m, strays[0])
		stray.Next = step.Next
		return stray, true
	}
	return step, false
}

// start carries out the step that a mailbox needs by now, and plans the next one. granted
// reports whether the budget has admitted a write: without it, no step that calls Graph starts.
func (s *Subscriber) start(ctx context.Context, id ooo.RecordID, granted bool) {
	if _, busy := s.inFlight.LoadOrStore(id, nil); busy {
		return // the step in flight plans the mailbox at its end
	}
	wait := startRetry // if this replica must not start it now, or no longer owns the mailbox
	if done, ok := s.cfg.Registry.Begin(id); ok {
		want := *s.want.Load()
		step, needed := s.plan(id, want) // again: from here on no other step changes the mailbox
		if needed && (granted || !step.callsGraph()) {
			j := &job{Subscriber: s, id: id, want: want, step: step}
			j.run(ctx)
		}
		done()
		wait = 0
	}
	s.inFlight.Delete(id) // first: dispatch ignores a mailbox in flight
	s.queue.Set(id, time.Now().Add(wait))
}
