package watch

import (
	"sync"
	"time"
)

// width is how many calls to Graph may be in flight. It follows what Graph can
// take, as TCP follows a network: while all goes well and the width is used, it
// grows by one for each round of calls; it shrinks by a third when Graph fails or
// asks the app to wait, and by a tenth when answers in general take far longer than
// they did. It shrinks once for what was in flight together, and keeps its bounds.
type width struct {
	least, most float64

	mu       sync.Mutex
	now      float64       // guarded by mu, as all below
	inFlight int           //
	usual    time.Duration // what an answer takes: falls at once, rises slowly
	recent   time.Duration // what answers took of late; a few slow mailboxes hardly move it
	shrunk   time.Time
}

func newWidth(least, most int) *width {
	least = min(least, most)
	return &width{least: float64(least), most: float64(most), now: float64((least + most) / 2)}
}

// room returns how many calls may be in flight.
func (w *width) room() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int(w.now)
}

// begin notes a call and returns what to say when it has ended: how long it took,
// and whether Graph was unable or unwilling.
func (w *width) begin() (ended func(took time.Duration, refused bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight++
	began := time.Now()
	return func(took time.Duration, refused bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		used := float64(w.inFlight) >= w.now/2
		w.inFlight--
		w.recent += (took - w.recent) / 16
		slow := w.usual > 0 && w.recent > 4*w.usual+slack
		switch {
		case refused || slow:
			if began.Before(w.shrunk) {
				break // it went out before the last time
			}
			if w.shrunk = time.Now(); refused {
				w.now = max(w.now*2/3, w.least)
			} else {
				w.now = max(w.now*9/10, w.least)
			}
		case used:
			w.now = min(w.now+1/w.now, w.most)
		}
		if w.usual == 0 || took < w.usual {
			w.usual = took
		} else {
			w.usual += (took - w.usual) / 512
		}
	}
}

// slack is by how much an answer may be late whatever the usual time: short
// times differ by chance.
const slack = 250 * time.Millisecond
