package watch

import (
	"context"
	"sync"

	"outlook-monitor/internal/ooo"
)

// inHand are the mailboxes that this process is reading. A mailbox that is
// monitored under several addresses may be due under two of them at once: then one
// request answers both if they are read together, and otherwise the second waits
// until the first is answered, because what was asked before its mark could tell
// it of a time before the change. Another replica may read it under another
// address meanwhile: then there are as many requests at once as replicas, at most.
type inHand struct {
	mu   sync.Mutex
	busy map[ooo.ObjectID]chan struct{} // closed when that read is over; guarded by mu
}

// take waits until none of the mailboxes is being read and takes all of them at
// once, so that nobody who waits holds up others. Double says that one is there
// twice. They must be given back.
func (h *inHand) take(ctx context.Context, ids []ooo.ObjectID) (mine chan struct{}, double bool, err error) {
	mine = make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	for other := h.other(ids); other != nil; other = h.other(ids) {
		h.mu.Unlock()
		select {
		case <-other:
			h.mu.Lock()
		case <-ctx.Done():
			h.mu.Lock()
			return nil, false, ctx.Err()
		}
	}
	if h.busy == nil {
		h.busy = map[ooo.ObjectID]chan struct{}{}
	}
	for _, id := range ids {
		double = double || h.busy[id] == mine
		h.busy[id] = mine
	}
	return mine, double, nil
}

func (h *inHand) other(ids []ooo.ObjectID) chan struct{} {
	for _, id := range ids {
		if busy := h.busy[id]; busy != nil {
			return busy
		}
	}
	return nil
}

func (h *inHand) give(ids []ooo.ObjectID, mine chan struct{}) {
	h.mu.Lock()
	for _, id := range ids {
		delete(h.busy, id)
	}
	h.mu.Unlock()
	close(mine)
}

// ask reads mailboxes, each once, however often it is named.
func (w *Watcher) ask(ctx context.Context, ids []ooo.ObjectID, known []ooo.Digest) []ooo.Reading {
	mine, double, err := w.hand.take(ctx, ids)
	if err != nil {
		readings := make([]ooo.Reading, len(ids))
		for i := range readings {
			readings[i].Err = err
		}
		return readings
	}
	defer w.hand.give(ids, mine)
	if !double {
		return w.call(ctx, ids, known)
	}
	places := map[ooo.ObjectID]int{}
	var each []ooo.ObjectID
	var digests []ooo.Digest
	for i, id := range ids {
		place, named := places[id]
		switch {
		case !named:
			places[id] = len(each)
			each, digests = append(each, id), append(digests, known[i])
		case digests[place] != known[i]:
			digests[place] = ooo.Digest{} // not the same to both: decoded
		}
	}
	answers := w.call(ctx, each, digests)
	readings := make([]ooo.Reading, len(ids))
	for i, id := range ids {
		readings[i] = answers[places[id]]
	}
	return readings
}
