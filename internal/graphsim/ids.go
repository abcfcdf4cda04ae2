package graphsim

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"
)

// idSource generates the ids of one kind of object. The same seed and order of calls give
// the same ids.
type idSource struct {
	seed, kind uint64

	mu     sync.Mutex
	random *rand.Rand // guarded by mu
}

func newIDSource(seed, kind uint64) *idSource {
	s := &idSource{seed: seed, kind: kind}
	s.reset()
	return s
}

// reset starts with the first id again.
func (s *idSource) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.random = rand.New(rand.NewPCG(s.seed, s.kind))
}

func (s *idSource) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return guid(s.random.Uint64(), s.random.Uint64())
}

// requestID returns a random id, which does not depend on the seed.
func requestID() string { return guid(rand.Uint64(), rand.Uint64()) }

// guid formats 128 random bits as a version 4 UUID.
func guid(high, low uint64) string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], high)
	binary.BigEndian.PutUint64(id[8:], low)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
