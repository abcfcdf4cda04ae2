package server

import (
	"container/list"
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// How fast a body has to come.
const (
	firstTime = 5 * time.Second // for the first 64 KiB
	stepTime  = time.Second     // for each 64 KiB more
	bodyTime  = 8 * time.Second // for all of it
	// A long body that comes slower than this makes way for others that wait.
	pace      = 512 << 10 // bytes a second
	paceGrace = 300 * time.Millisecond
)

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// hall is where requests are from their first byte to their answer. Who is still
// sending when there is no place for another one is put out, the first to come
// first: an honest body is here within moments.
type hall struct {
	cfg         BoundConfig
	turns, room *semaphore.Weighted // who is passed on; bytes of long bodies

	mu     sync.Mutex
	inside int                // places taken; guarded by mu, as all below
	each   map[netip.Addr]int // of them, by source
	coming *list.List         // of *guest, whose bodies are coming, the first to come first
}

// guest is a request in the hall.
type guest struct {
	source netip.Addr
	reads  *http.ResponseController
	began  time.Time
	room   int64 // that it has for a long body

	place *list.Element // in hall.coming, or nil; guarded by hall.mu, as all below
	out   bool          // its place was given to another
	since time.Time     // when it got room
	got   int64         // bytes that came since
}

func newHall(cfg BoundConfig) *hall {
	return &hall{
		cfg: cfg, turns: semaphore.NewWeighted(int64(cfg.Working)), room: semaphore.NewWeighted(cfg.Bytes),
		each: map[netip.Addr]int{}, coming: list.New(),
	}
}

// enter takes a place, if need be that of one who is still sending. ok is false if
// there is none.
func (h *hall) enter(from netip.Addr, reads *http.ResponseController) (g *guest, ok bool) {
	g = &guest{source: network(from), reads: reads, began: time.Now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.each[g.source] >= h.cfg.EachSource {
		ok = h.putOut(func(other *guest) bool { return other.source == g.source })
	} else {
		ok = h.inside < h.cfg.Requests || h.putOut(func(*guest) bool { return true })
	}
	if !ok {
		return nil, false
	}
	h.inside++
	h.each[g.source]++
	g.place = h.coming.PushBack(g)
	_ = reads.SetReadDeadline(g.began.Add(firstTime))
	return g, true
}

// putOut takes the place of the first that fits and is still sending.
func (h *hall) putOut(fits func(*guest) bool) bool {
	for e := h.coming.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); fits(g) {
			h.evict(g)
			return true
		}
	}
	return false
}

func (h *hall) evict(g *guest) {
	h.vacate(g)
	g.out = true
	_ = g.reads.SetReadDeadline(past)
}

// vacate ends a guest's part in what is counted.
func (h *hall) vacate(g *guest) {
	if g.place != nil {
		h.coming.Remove(g.place)
		g.place = nil
	}
	h.inside--
	if h.each[g.source]--; h.each[g.source] == 0 {
		delete(h.each, g.source)
	}
}

// leave gives back what a guest has.
func (h *hall) leave(g *guest) {
	h.mu.Lock()
	if !g.out {
		h.vacate(g)
	}
	h.mu.Unlock()
	if g.room > 0 {
		h.room.Release(g.room)
	}
}

// arrived ends the time of a body that is there; ok is false if it was too late.
func (h *hall) arrived(g *guest) (ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g.out {
		return false
	}
	h.coming.Remove(g.place)
	g.place = nil
	_ = g.reads.SetReadDeadline(time.Time{})
	return true
}

// proceed counts the n bytes that came of a long body, and gives it time for the
// next ones; ok is false if it was put out.
func (h *hall) proceed(g *guest, n int64) (ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g.out {
		return false
	}
	g.got += n
	next, end := time.Now().Add(stepTime), g.began.Add(bodyTime)
	if end.Before(next) {
		next = end
	}
	_ = g.reads.SetReadDeadline(next)
	return true
}

// widen gets room for the n bytes of a long body that have yet to come. If there is
// none for a while, those make way that have some and send too slowly.
func (h *hall) widen(ctx context.Context, g *guest, n int64) bool {
	n = min(n, h.cfg.Bytes)
	for until := later(g.began.Add(boundTime), time.Now().Add(boundTime/4)); !h.room.TryAcquire(n); {
		if !time.Now().Before(until) || ctx.Err() != nil {
			return false
		}
		h.hurry(time.Now())
		moment, cancel := context.WithTimeout(ctx, boundTime/4)
		err := h.room.Acquire(moment, n)
		cancel()
		if err == nil {
			break
		}
	}
	g.room = n
	h.mu.Lock()
	g.since = time.Now()
	h.mu.Unlock()
	return h.proceed(g, 0)
}

// hurry puts out all who keep room for a long body and send it too slowly.
func (h *hall) hurry(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var slow []*guest
	for e := h.coming.Front(); e != nil; e = e.Next() {
		g := e.Value.(*guest)
		if late := now.Sub(g.since) - paceGrace; !g.since.IsZero() && float64(g.got) < late.Seconds()*pace {
			slow = append(slow, g)
		}
	}
	for _, g := range slow {
		h.evict(g)
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
