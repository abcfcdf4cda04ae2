package graphsim

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"
)

// idSource makes the ids of things that last. The same seed and the same order
// of calls give the same ids.
type idSource struct {
	mu            sync.Mutex
	users         *rand.Rand // guarded by mu
	subscriptions *rand.Rand // guarded by mu
	events        *rand.Rand // guarded by mu
}

func newIDSource(seed uint64) *idSource {
	s := &idSource{}
	s.reset(seed)
	return s
}

func (s *idSource) reset(seed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = rand.New(rand.NewPCG(seed, 1))
	s.subscriptions = rand.New(rand.NewPCG(seed, 2))
	s.events = rand.New(rand.NewPCG(seed, 3))
}

func (s *idSource) user() string         { return s.draw(&s.users) }
func (s *idSource) subscription() string { return s.draw(&s.subscriptions) }
func (s *idSource) event() string        { return s.draw(&s.events) }

// draw takes an id from one of the sources, which mu guards.
func (s *idSource) draw(from **rand.Rand) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return guid((*from).Uint64(), (*from).Uint64())
}

// requestID is not seeded: nothing depends on it, and every request has one.
func requestID() string { return guid(rand.Uint64(), rand.Uint64()) }

// guid spells 128 random bits as a version 4 UUID.
func guid(hi, lo uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	out[8] = '-'
	hex.Encode(out[9:13], b[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], b[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], b[8:10])
	out[23] = '-'
	hex.Encode(out[24:36], b[10:16])
	return string(out[:])
}
