package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Lease is the ownership of one partition: a life is random per process, a tenure
// is one acquisition of it. One that was released keeps its tenure, without a life: who
// was paused meanwhile finds out by it that its own tenure is over.
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
	Stopping bool // it stops: its partitions are for the others
}

// Wait is a pause that Graph asked of the whole app. Clocks differ, so it is cut at
// now + Length by whoever reads it.
type Wait struct {
	Until  time.Time
	Length time.Duration
}

// Owners is the table of replicas and partitions as one round found it.
type Owners struct {
	Beats       map[string]Beat // by life; one that can't be read, such as a later version's, says that Graph never answered
	Leases      [ooo.Partitions]Lease
	Saves       [ooo.Partitions]int64 // grows with each acquisition and save of a partition
	Settings    string                // number and digest of the newest settings, as [Store.SwapOwners] wrote it; empty: none
	Fingerprint string                // of the tenant, client and Graph endpoint; empty: none
	SyncMark    string                // random; not empty: the mediator is to be asked for its users
	Waits       map[string]Wait       // by name

	fields map[string]string
}

// Text returns a field as the table has it, for a swap; empty if it is not there.
func (o *Owners) Field(field string) string { return o.fields[field] }

// Swap is a compare-and-set of one field of the table. An empty text stands for a
// field that is not there.
type Swap struct{ Field, Old, New string }

// Fields of the table that there is one of.
const (
	FieldSettings    = "settings"
	FieldFingerprint = "fingerprint"
	fieldSync        = "sync"
)

// Fields of a replica, a partition and a wait of the whole app.
func BeatField(life string) string { return "beat:" + life }
func LeaseField(p int) string      { return "lease:" + strconv.Itoa(p) }
func SavesField(p int) string      { return "saves:" + strconv.Itoa(p) }
func WaitField(name string) string { return "wait:" + name }

// String is the lease as the table has it; empty for none.
func (l Lease) String() string {
	if l == (Lease{}) {
		return ""
	}
	return l.Life + ":" + strconv.FormatInt(l.Tenure, 10)
}

// Released is the lease after its release.
func (l Lease) Released() Lease { return Lease{Tenure: l.Tenure} }

func parseLease(text string) (Lease, bool) {
	life, tenure, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(tenure, 10, 64)
	return Lease{life, n}, err == nil
}

// String is the beat as the table has it.
func (b Beat) String() string {
	answered := b.Answered.Milliseconds()
	if b.Answered < 0 {
		answered = -1
	}
	return fmt.Sprintf("%d %d %d %d %s", b.Number, b.Mailboxes, b.Settings, answered, flag(b.Stopping))
}

func parseBeat(text string) Beat {
	var b Beat
	var answered, leaving int64
	_, err := fmt.Sscanf(text, "%d %d %d %d %d", &b.Number, &b.Mailboxes, &b.Settings, &answered, &leaving)
	if err != nil {
		return Beat{Answered: -1}
	}
	b.Answered, b.Stopping = time.Duration(answered)*time.Millisecond, leaving != 0
	if answered < 0 {
		b.Answered = -1
	}
	return b
}

// String is the wait as the table has it; empty for none.
func (w Wait) String() string {
	if w == (Wait{}) {
		return ""
	}
	return fmt.Sprintf("%d %d", w.Until.UnixMilli(), w.Length.Milliseconds())
}

func parseWait(text string) (Wait, bool) {
	var until, length int64
	_, err := fmt.Sscanf(text, "%d %d", &until, &length)
	return Wait{time.UnixMilli(until).UTC(), time.Duration(length) * time.Millisecond}, err == nil
}

// once is a command that go-redis never sends twice.
type once struct{ *redis.Cmd }

// NoRetry says so.
func (once) NoRetry() bool { return true }

// Round writes the beat of a replica and returns the table as it was before, so that
// the replica finds its last beat there unless Redis came back with older data. A beat
// that arrives late changes nothing, or a later one would look as if it had never been
// there. It is one try on a connection that nothing else uses, and ends with ctx, dialling
// included.
func (s *Store) Round(ctx context.Context, life string, b Beat) (Owners, error) {
	c := once{redis.NewCmd(ctx, "EVAL", round, 1, ownersKey, BeatField(life), b.String())}
	if err := s.rounds.Process(ctx, c); err != nil {
		return Owners{}, translate(err)
	}
	flat, err := c.StringSlice()
	if err != nil {
		return Owners{}, translate(err)
	}
	table := make(map[string]string, len(flat)/2)
	for pair := range slices.Chunk(flat, 2) {
		table[pair[0]] = pair[1]
	}
	return ParseOwners(table), nil
}

// ParseOwners reads the fields of the table. What is not understood belongs to another
// version and is left out.
func ParseOwners(table map[string]string) Owners {
	o := Owners{
		Beats: map[string]Beat{}, Waits: map[string]Wait{}, fields: table,
		Settings: table[FieldSettings], Fingerprint: table[FieldFingerprint], SyncMark: table[fieldSync],
	}
	for field, value := range table {
		word, name, _ := strings.Cut(field, ":")
		p, err := strconv.Atoi(name)
		partition := err == nil && p >= 0 && p < ooo.Partitions
		switch word {
		case "beat":
			o.Beats[name] = parseBeat(value)
		case "wait":
			if w, ok := parseWait(value); ok {
				o.Waits[name] = w
			}
		case "lease":
			if l, ok := parseLease(value); ok && partition {
				o.Leases[p] = l
			}
		case "saves":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && partition {
				o.Saves[p] = n
			}
		}
	}
	return o
}

// SwapOwners sets fields of the table if each is as its swap says, all or none. It
// reports whether they are as they are to be, which is so too if it was carried out
// before and its answer was lost.
func (s *Store) SwapOwners(ctx context.Context, swaps ...Swap) (bool, error) {
	args := []any{len(swaps)}
	for _, one := range swaps {
		args = append(args, one.Field, one.Old, one.New)
	}
	answer, err := s.run(ctx, swap, []string{ownersKey}, args...)
	return answer == int64(1), err
}

// SetSaves sets the number of saves that a partition has seen, after Redis came back
// with older data. The error is [ooo.ErrNotOwner] if the lease is another.
func (s *Store) SetSaves(ctx context.Context, lease Lease, p int, n int64) error {
	answer, err := s.run(ctx, swap, []string{ownersKey}, 1, LeaseField(p), lease.String(), lease.String(), SavesField(p), n)
	if err == nil && answer != int64(1) {
		err = ooo.ErrNotOwner
	}
	return err
}

// SetSync leaves the mark that the mediator is to be asked for its users. Unless
// replace is set, a mark that is there stays.
func (s *Store) SetSync(ctx context.Context, mark string, replace bool) error {
	if !replace {
		_, err := s.SwapOwners(ctx, Swap{fieldSync, "", mark})
		return err
	}
	return translate(s.client.HSet(ctx, ownersKey, fieldSync, mark).Err())
}

// ClearSync removes the mark unless a new one was left.
func (s *Store) ClearSync(ctx context.Context, mark string) error {
	_, err := s.SwapOwners(ctx, Swap{fieldSync, mark, ""})
	return err
}

// SetWait has all replicas keep a wait that Graph asked of the whole app.
func (s *Store) SetWait(ctx context.Context, name string, d time.Duration) error {
	w := Wait{time.Now().Add(d), d}
	pipe := s.client.Pipeline()
	written := pipe.HSet(ctx, ownersKey, WaitField(name), w.String())
	s.publish(ctx, pipe, wire{TableChanged: true})
	pipe.Exec(ctx) //nolint:errcheck // the first command has its own error, the other doesn't matter
	return translate(written.Err())
}
