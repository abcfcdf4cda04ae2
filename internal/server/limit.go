package server

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxSources bounds the memory of a Limit to about half a MiB.
const maxSources = 4096

// Limit says how often each source may come: a bucket of tokens for each IPv4
// address and each IPv6 network of 64 bits. It remembers the last 4,096 sources;
// one that it forgot begins anew with a full bucket.
type Limit struct {
	perSecond, burst int

	mu     sync.Mutex
	recent *list.List                   // guarded by mu, as below; of *bucket, last seen first
	known  map[netip.Addr]*list.Element // recent's
}

// bucket is what one source has left.
type bucket struct {
	source netip.Addr
	tokens *rate.Limiter
}

// NewLimit returns a limit of perSecond requests a second for each source, and
// twice as many at once.
func NewLimit(perSecond int) *Limit {
	return &Limit{perSecond: perSecond, burst: 2 * perSecond, recent: list.New(), known: map[netip.Addr]*list.Element{}}
}

// Take says whether a source may come now, and counts it if so.
func (l *Limit) Take(source netip.Addr, now time.Time) bool {
	source = network(source)
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.known[source]
	if e == nil {
		if l.recent.Len() >= maxSources {
			oldest := l.recent.Remove(l.recent.Back()).(*bucket)
			delete(l.known, oldest.source)
		}
		e = l.recent.PushFront(&bucket{source, rate.NewLimiter(rate.Limit(l.perSecond), l.burst)})
		l.known[source] = e
	}
	l.recent.MoveToFront(e)
	return e.Value.(*bucket).tokens.AllowN(now, 1)
}

// network is what an address is counted as: itself, or IPv6's network of 64 bits.
func network(source netip.Addr) netip.Addr {
	if source.Is6() {
		return netip.PrefixFrom(source, 64).Masked().Addr()
	}
	return source
}
