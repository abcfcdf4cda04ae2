package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"outlook-monitor/internal/ooo"
)

// errNotKept means that Redis, or this process, could not take what came.
var errNotKept = errors.New("could not be stored, Graph will send it again")

// receive takes one request: all of what it asks for is stored when it returns
// nil.
func (r *Receiver) receive(ctx context.Context, body io.Reader) error {
	began := time.Now()
	c, err := decode(body)
	if err != nil {
		return err
	}
	r.count(ctx, Ignored, c.ignored)
	if len(c.items) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	keys, err := r.cfg.Keys(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotKept, err)
	}
	return r.keepTraced(ctx, began, r.sort(ctx, r.judge(ctx, c, keys), time.Now()))
}

// sorted is what a request asks for: one mark for each subscription that spoke,
// however many items.
type sorted struct {
	marks  []ooo.Mark
	items  int // that became marks and were accepted
	events map[ooo.Key][]ooo.Lifecycle
}

// sort finds out what the items that are believed ask for.
func (r *Receiver) sort(ctx context.Context, items []judged, now time.Time) sorted {
	var s sorted
	type spoke struct {
		key ooo.Key
		tag string
	}
	marked := map[spoke]bool{}
	mark := func(it judged) {
		by := spoke{it.key, ooo.TagIn(it.ClientState)}
		if !marked[by] {
			marked[by] = true
			s.marks = append(s.marks, ooo.Mark{
				Key: it.key, Source: ooo.SourceNotification, ID: it.name(), Urgent: true, Spoke: by.tag})
		}
	}
	counts := map[Verdict]int{}
	for _, it := range items {
		switch {
		case !it.verdict.believed():
			counts[it.verdict]++
		case it.event() != "":
			counts[it.verdict.of(Event)]++
			// A removal too may have missed something.
			if it.event() != ooo.ReauthorizationRequired || it.ChangeType != "" {
				mark(it)
			}
			if it.event() != ooo.NotificationsMissed {
				if s.events == nil {
					s.events = map[ooo.Key][]ooo.Lifecycle{}
				}
				s.events[it.key] = append(s.events[it.key], ooo.Lifecycle{
					SubscriptionID: ooo.SubscriptionID(it.SubscriptionID), Kind: it.event(), At: now})
			}
		case it.ChangeType != "":
			if it.verdict == Accepted {
				s.items++
			} else {
				counts[it.verdict]++
			}
			mark(it)
		default:
			counts[Ignored]++
		}
	}
	for verdict, n := range counts {
		r.count(ctx, verdict, n)
	}
	return s
}

// keep stores it all. Lifecycle events come first: who tends the subscriptions
// reads the user anyway, while a read helps a lost subscription nothing.
func (r *Receiver) keep(ctx context.Context, s sorted) error {
	for key, events := range s.events {
		if err := r.cfg.Inbox.Heard(ctx, key, events...); err != nil {
			return fmt.Errorf("%w: %w", errNotKept, err)
		}
	}
	if len(s.marks) == 0 {
		return nil
	}
	known, err := r.cfg.Inbox.Mark(ctx, ooo.ReadQueue, s.marks...)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotKept, err)
	}
	gone := min(len(s.marks)-known, s.items)
	r.count(ctx, Unmonitored, gone)
	r.count(ctx, Accepted, s.items-gone)
	return nil
}

// count tells of n items with a verdict.
func (r *Receiver) count(ctx context.Context, v Verdict, n int) {
	if n > 0 {
		r.cfg.Counted(string(v), n)
		r.cfg.Log.DebugContext(ctx, "items judged", "verdict", v, "items", n)
	}
}
