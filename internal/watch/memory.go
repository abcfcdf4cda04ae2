package watch

import (
	"sync"
	"time"

	"outlook-monitor/internal/ooo"
)

// memory is what this process knows of the answers that it has understood: which
// digest an answer had when it meant the setting with a certain fingerprint. It
// saves decoding; whatever it has forgotten is decoded once more. Users whom
// another replica reads, or who are no longer monitored, fall out by themselves.
type memory struct {
	mu      sync.Mutex
	young   map[ooo.Key]understood // guarded by mu, as all below
	old     map[ooo.Key]understood
	renewed time.Time
}

type understood struct {
	fingerprint string
	digest      ooo.Digest
}

// memorySpan is how long what nobody asks for is kept, at least.
const memorySpan = 5 * time.Minute

// recall fills in the object ids to be read and the digests known for what the
// record says of them; zero where nothing is known.
func (m *memory) recall(claims []ooo.Claim, ids []ooo.ObjectID, known []ooo.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.renewed) > memorySpan {
		m.old, m.young, m.renewed = m.young, make(map[ooo.Key]understood, len(m.young)), now
	}
	for i, c := range claims {
		ids[i] = c.ObjectID
		u, ok := m.young[c.Key]
		if !ok {
			if u, ok = m.old[c.Key]; !ok {
				continue
			}
			m.young[c.Key] = u
		}
		if u.fingerprint == c.Fingerprint {
			known[i] = u.digest
		}
	}
}

// keep remembers that the answer with this digest means the fingerprint.
func (m *memory) keep(key ooo.Key, fingerprint string, digest ooo.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.young[key] = understood{fingerprint, digest}
}
