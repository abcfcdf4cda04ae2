package graphsim

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/google/uuid"
)

// state is what [Server.Reset] resets. Its methods are called with Server.mu held.
type state struct {
	accounts []*account          // in order of creation
	byKey    map[string]*account // by object id and by UPN, in lower case

	subscriptions []*Subscription // in order of creation, including recently expired ones

	faults      []Fault
	lastFault   int        // id of the newest fault
	probability *rand.Rand // of faults

	quotas map[string]*quota // by operation
	stats  *statistics

	outbox outbox

	userIDs, subscriptionIDs, eventIDs *rand.ChaCha8
}

// newState returns the state at the start. Equal seeds and calls in the same order give the
// same ids and random choices.
func newState(seed uint64) state {
	random := func(kind byte) *rand.ChaCha8 {
		key := [32]byte{8: kind}
		binary.LittleEndian.PutUint64(key[:], seed)
		return rand.NewChaCha8(key)
	}
	return state{
		byKey:       make(map[string]*account),
		probability: rand.New(random(4)),
		quotas:      newQuotas(),
		stats:       newStatistics(),
		outbox:      make(outbox),
		userIDs:     random(1), subscriptionIDs: random(2), eventIDs: random(3),
	}
}

// newID returns the next id of one kind of object.
func newID(ids *rand.ChaCha8) string { return uuid.Must(uuid.NewRandomFromReader(ids)).String() }

// requestID returns a random id, which does not depend on the seed.
func requestID() string { return uuid.NewString() }
