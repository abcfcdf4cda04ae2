package store

import (
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
)

// ErrVersion means that the record in Redis has another version than the save
// follows on: Redis came back with older data.
var ErrVersion = errors.New("the record in Redis has another version")

// ErrDamaged means that what Redis holds can't be read.
var ErrDamaged = errors.New("what Redis holds can't be read")

// Lease is the ownership of one partition: a life is random per process, a tenure
// is one acquisition of it.
type Lease struct {
	Life   string
	Tenure int64
}

// Beat is what a replica writes about itself in each round.
type Beat struct {
	Number    int64 // grows with each round
	Mailboxes int   // that it has
	Settings  int64 // number of its settings
	// Answered is how long ago Graph last answered an accepted token, as of the beat;
	// negative: never since the start.
	Answered time.Duration
	Leaving  bool // it stops: its partitions are for the others
}

// Wait is a pause that Graph asked of the whole app. Clocks differ, so it is cut at
// now + Length by whoever reads it.
type Wait struct {
	Until  time.Time
	Length time.Duration
}

// Owners is the table of replicas and partitions as one round found it.
type Owners struct {
	Beats       map[string]Beat // by life; what can't be read, such as a later version's, says that Graph never answered
	Leases      [ooo.Partitions]Lease
	Saves       [ooo.Partitions]int64 // grows with each acquisition and save of a partition
	Settings    string                // number and digest of the newest settings, as [Store.SwapOwners] wrote it; empty: none
	Fingerprint string                // of the tenant, client and Graph endpoint; empty: none
	SyncMark    string                // random; not empty: the mediator is to be asked for its users
	Waits       map[string]Wait       // by name

	fields map[string]string
}

// Text returns a field as the table has it, for a swap; empty if it is not there.
func (o *Owners) Text(field string) string { return o.fields[field] }

// Swap is a compare-and-set of one field of a hash. An empty text stands for a
// field that is not there.
type Swap struct{ Field, Old, New string }

// Save is one write of a record by the owner of its partition. All of it happens or
// nothing.
type Save struct {
	Lease  Lease
	Record *ooo.Mailbox // with its new version: one more than in Redis
	Remove bool         // delete the record; Record still says which and its version
	// Overwrite writes the record if the version in Redis is any lower one, which
	// happens after Redis came back with older data.
	Overwrite bool

	Left   []string   // folded addresses that leave the record: their summaries are removed
	Forget []string   // folded addresses whose history is removed too
	Events []Event    // to the histories and the feed
	Done   []ooo.Hint // carried out: each is removed if it is still the same
	Leave  []ooo.Hint // new hints
	Wishes []WishSwap // each is swapped if it is still the same
}

// Event is a history entry of one address.
type Event struct {
	Address string // as spelled; folded for the history, shown in the feed
	Name    string // of the user, for the feed
	ooo.Event
}

// WishSwap replaces the wish of an address, or removes it if New is nil, unless
// somebody wrote it since.
type WishSwap struct {
	Address string // in any spelling
	Nonce   string // of the wish that is replaced; empty: there is none
	New     *ooo.Wish
}

// Loaded is what Redis has of one partition.
type Loaded struct {
	Records []*ooo.Mailbox
	// Damaged are the ids of records that can't be read. They are left alone and
	// reported.
	Damaged map[ooo.RecordID]error
	Saves   int64
	// ReadsAt is when the last owner wrote how it reads: until then every
	// mailbox was read in its place. Zero: not known.
	ReadsAt time.Time
}

// Reads says when the mailboxes of a partition were last read with success: all at
// At, but those in Except. It is saved every few seconds.
type Reads struct {
	At      time.Time                  `json:"at"`
	Written time.Time                  `json:"written"`
	Except  map[ooo.RecordID]time.Time `json:"except,omitempty"`
}
