package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Lease is the ownership of one partition. A released lease has no life but keeps its tenure,
// so that a former owner that was paused meanwhile finds out that its own tenure is over.
type Lease struct {
	Life   string // of the owner; random per process
	Tenure int64  // incremented by each acquisition
}

// Beat is what a replica writes about itself in each round. Older versions read it during a
// rolling upgrade.
type Beat struct {
	Number   int64 // grows with each round
	Settings int64 // number of its settings
	// Answered is how long before the beat Graph last answered a request whose token it
	// accepted, or a wait ended that it had asked for; negative: not since the start.
	Answered time.Duration
	Stopping bool // it is about to end, and has no share of the partitions any more
}

// Wait is a Retry-After for the whole app. Clocks differ, so readers cut Until at now + Length.
type Wait struct {
	Until  time.Time
	Length time.Duration
}

// Table is the table of replicas and partitions as one round found it.
type Table struct {
	Beats       map[string]Beat // by life; if a beat can't be decoded, its Answered is negative
	Leases      [ooo.Partitions]Lease
	Saves       [ooo.Partitions]int64 // grows with each save of a partition
	Settings    string                // number and digest of the newest settings; empty: none
	Fingerprint string                // of the tenant, client and Graph endpoint; empty: none
	SyncMark    string                // random; not empty: ask the mediator for its users
	Waits       map[string]Wait       // by name

	fields map[string]string
}

// Field returns the text of a field, for a [Swap]; empty if it does not exist.
func (t *Table) Field(field string) string { return t.fields[field] }

// Swap is a compare-and-set of one field of the table. An empty text means that the field does
// not exist.
type Swap struct{ Field, Old, New string }

// Single fields of the table.
const (
	FieldSettings    = "settings"
	FieldFingerprint = "fingerprint"
	fieldSync        = "sync"
)

// Fields by replica, by partition, and by name of a [Wait].
func BeatField(life string) string { return "beat:" + life }
func LeaseField(p int) string      { return "lease:" + strconv.Itoa(p) }
func SavesField(p int) string      { return "saves:" + strconv.Itoa(p) }
func WaitField(name string) string { return "wait:" + name }

// String returns the lease as in the table; empty for none.
func (l Lease) String() string {
	if l == (Lease{}) {
		return ""
	}
	return l.Life + ":" + strconv.FormatInt(l.Tenure, 10)
}

// Released returns the lease after its release.
func (l Lease) Released() Lease { return Lease{Tenure: l.Tenure} }

func parseLease(text string) (Lease, bool) {
	life, tenure, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(tenure, 10, 64)
	return Lease{life, n}, err == nil
}

// String returns the beat as in the table. Older versions need the second field, once a number
// of mailboxes, and take any value of the last one but 0 for stopping.
func (b Beat) String() string {
	answered := b.Answered.Milliseconds()
	if b.Answered < 0 {
		answered = -1
	}
	return fmt.Sprintf("%d 0 %d %d %s", b.Number, b.Settings, answered, flag(b.Stopping))
}

func parseBeat(text string) Beat {
	var b Beat
	var unused, answered, leaving int64
	_, err := fmt.Sscanf(text, "%d %d %d %d %d", &b.Number, &unused, &b.Settings, &answered, &leaving)
	if err != nil {
		return Beat{Answered: -1}
	}
	b.Answered, b.Stopping = time.Duration(answered)*time.Millisecond, leaving != 0
	if answered < 0 {
		b.Answered = -1
	}
	return b
}

// String returns the wait as in the table; empty for none.
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

// noRetry is a command that go-redis never sends twice.
type noRetry struct{ *redis.Cmd }

// NoRetry overrides the method of [redis.Cmd].
func (noRetry) NoRetry() bool { return true }

// Round writes the beat of a replica and returns the table as it was before, which contains
// the replica's last beat unless Redis came back with older data. A beat that arrives late does
// not overwrite a later one, which would look like older data. Round makes one attempt on a
// connection of its own, and ends with ctx, even while dialling.
func (s *Store) Round(ctx context.Context, life string, b Beat) (Table, error) {
	c := noRetry{redis.NewCmd(ctx, "EVAL", round, 1, ownersKey, BeatField(life), b.String())}
	if err := s.rounds.Process(ctx, c); err != nil {
		s.reopen()
		return Table{}, translate(err)
	}
	flat, err := c.StringSlice()
	if err != nil {
		return Table{}, translate(err)
	}
	fields := make(map[string]string, len(flat)/2)
	for pair := range slices.Chunk(flat, 2) {
		fields[pair[0]] = pair[1]
	}
	return ParseTable(fields), nil
}

// reopenTime limits how long reopen tries.
const reopenTime = 6 * time.Second

// reopen opens a connection for the next round in the background, because a round that failed has
// closed its own. Opening one takes several round trips: with a slow Redis more than a round has,
// so that without this none would ever be answered again.
func (s *Store) reopen() {
	s.reopening.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), reopenTime)
		defer cancel()
		return nil, s.rounds.HGet(ctx, ownersKey, FieldFingerprint).Err() // at the server that has the table
	})
}

// ParseTable parses the fields of the table. It ignores unknown fields and values: they
// belong to another version.
func ParseTable(fields map[string]string) Table {
	t := Table{
		Beats: map[string]Beat{}, Waits: map[string]Wait{}, fields: fields,
		Settings: fields[FieldSettings], Fingerprint: fields[FieldFingerprint], SyncMark: fields[fieldSync],
	}
	for p := range ooo.Partitions {
		if l, ok := parseLease(fields[LeaseField(p)]); ok {
			t.Leases[p] = l
		}
		if n, err := strconv.ParseInt(fields[SavesField(p)], 10, 64); err == nil {
			t.Saves[p] = n
		}
	}
	for field, value := range fields {
		kind, name, _ := strings.Cut(field, ":")
		switch kind {
		case "beat":
			t.Beats[name] = parseBeat(value)
		case "wait":
			if w, ok := parseWait(value); ok {
				t.Waits[name] = w
			}
		}
	}
	return t
}

// CheckFingerprint returns [ErrForeign] if the table has another fingerprint than [Config].
func (s *Store) CheckFingerprint(ctx context.Context) error {
	found, err := s.client.HGet(ctx, ownersKey, FieldFingerprint).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case err == nil && channel(found) != s.channel: // which is named after it
		return ErrForeign
	}
	return translate(err)
}

// SwapTable applies the swaps if every field has its old text, all or none. It reports
// whether all fields have their new texts, which is also true if an earlier call was carried
// out and its answer was lost.
func (s *Store) SwapTable(ctx context.Context, swaps ...Swap) (bool, error) {
	args := []any{len(swaps)}
	for _, sw := range swaps {
		args = append(args, sw.Field, sw.Old, sw.New)
	}
	answer, err := s.run(ctx, swap, []string{ownersKey}, args...)
	return answer == int64(1), err
}

// SetSaves sets the number of saves of a partition, after Redis came back with older data. It
// returns [ooo.ErrNotOwner] if the table has another lease.
func (s *Store) SetSaves(ctx context.Context, lease Lease, p int, n int64) error {
	answer, err := s.run(ctx, swap, []string{ownersKey}, 1, LeaseField(p), lease.String(), lease.String(), SavesField(p), n)
	if err == nil && answer != int64(1) {
		err = ooo.ErrNotOwner
	}
	return err
}

// SetSync sets the sync mark: ask the mediator for its users. It does not change an existing
// mark unless replace is set.
func (s *Store) SetSync(ctx context.Context, mark string, replace bool) error {
	if !replace {
		_, err := s.SwapTable(ctx, Swap{fieldSync, "", mark})
		return err
	}
	return translate(s.client.HSet(ctx, ownersKey, fieldSync, mark).Err())
}

// ClearSync removes the sync mark if it is still the same.
func (s *Store) ClearSync(ctx context.Context, mark string) error {
	_, err := s.SwapTable(ctx, Swap{fieldSync, mark, ""})
	return err
}

// SetWait makes all replicas wait, because of a Retry-After for the whole app.
func (s *Store) SetWait(ctx context.Context, name string, w Wait) error {
	pipe := s.client.Pipeline()
	written := pipe.HSet(ctx, ownersKey, WaitField(name), w.String())
	s.publish(ctx, pipe, wireMessage{TableChanged: true})
	pipe.Exec(ctx) //nolint:errcheck // only the error of HSET matters
	return translate(written.Err())
}
