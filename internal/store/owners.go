package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Fields of the table of owners that there is one of.
const (
	FieldSettings    = "settings"
	FieldFingerprint = "fingerprint"
	FieldSync        = "sync"
)

// First words of the other fields.
const (
	beatWord  = "beat:"
	leaseWord = "lease:"
	savesWord = "saves:"
	waitWord  = "wait:"
)

// BeatField is the field of a replica's beat.
func BeatField(life string) string { return beatWord + life }

// LeaseField is the field of a partition's lease.
func LeaseField(p int) string { return leaseWord + strconv.Itoa(p) }

// SavesField is the field of the number of saves that a partition has seen.
func SavesField(p int) string { return savesWord + strconv.Itoa(p) }

// WaitField is the field of a wait of the whole app.
func WaitField(name string) string { return waitWord + name }

// String is the lease as the table has it; empty for none.
func (l Lease) String() string {
	if l == (Lease{}) {
		return ""
	}
	return l.Life + ":" + strconv.FormatInt(l.Tenure, 10)
}

func parseLease(text string) (Lease, bool) {
	life, tenure, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(tenure, 10, 64)
	return Lease{life, n}, err == nil && life != ""
}

// String is the beat as the table has it.
func (b Beat) String() string {
	answered := int64(-1)
	if b.Answered >= 0 {
		answered = b.Answered.Milliseconds()
	}
	leaving := 0
	if b.Leaving {
		leaving = 1
	}
	return fmt.Sprintf("%d %d %d %d %d", b.Number, b.Mailboxes, b.Settings, answered, leaving)
}

func parseBeat(text string) (b Beat, ok bool) {
	var answered, leaving int64
	n, err := fmt.Sscanf(text, "%d %d %d %d %d", &b.Number, &b.Mailboxes, &b.Settings, &answered, &leaving)
	b.Leaving = leaving != 0
	b.Answered = time.Duration(answered) * time.Millisecond
	if answered < 0 {
		b.Answered = -1
	}
	return b, n == 5 && err == nil
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
	n, err := fmt.Sscanf(text, "%d %d", &until, &length)
	return Wait{time.UnixMilli(until).UTC(), time.Duration(length) * time.Millisecond}, n == 2 && err == nil
}

// round writes a replica's beat, unless a later one is there, and returns the table as
// it was before.
//
//	KEYS[1] table   ARGV field, beat
//	returns all fields with their values
var round = redis.NewScript(roundText)

const roundText = `
local before = redis.call('HGETALL', KEYS[1])
local function number(beat) return tonumber(string.match(beat or '', '^%d*')) or -1 end
if number(redis.call('HGET', KEYS[1], ARGV[1])) < number(ARGV[2]) then
	redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return before`

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
	return s.round(ctx, ownersKey, BeatField(life), b.String())
}

func (s *Store) round(ctx context.Context, key, field, value string) (Owners, error) {
	send := func(command string, script string) (map[string]string, error) {
		c := once{redis.NewCmd(ctx, command, script, 1, key, field, value)}
		if err := s.rounds.Process(ctx, c); err != nil {
			return nil, err
		}
		flat, err := c.StringSlice()
		table := make(map[string]string, len(flat)/2)
		for i := 0; i+1 < len(flat); i += 2 {
			table[flat[i]] = flat[i+1]
		}
		return table, err
	}
	table, err := send("EVALSHA", round.Hash())
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		table, err = send("EVAL", roundText)
	}
	if err != nil {
		return Owners{}, translate(err)
	}
	return ParseOwners(table), nil
}

// ParseOwners reads the fields of the table. What is not understood belongs to another
// version and is left out.
func ParseOwners(table map[string]string) Owners {
	o := Owners{
		Beats: map[string]Beat{}, Waits: map[string]Wait{}, fields: table,
		Settings: table[FieldSettings], Fingerprint: table[FieldFingerprint], SyncMark: table[FieldSync],
	}
	for field, value := range table {
		word, name, _ := strings.Cut(field, ":")
		p, err := strconv.Atoi(name)
		partition := err == nil && p >= 0 && p < ooo.Partitions
		switch word + ":" {
		case beatWord:
			b, ok := parseBeat(value)
			if !ok {
				b = Beat{Answered: -1}
			}
			o.Beats[name] = b
		case waitWord:
			if w, ok := parseWait(value); ok {
				o.Waits[name] = w
			}
		case leaseWord:
			if l, ok := parseLease(value); ok && partition {
				o.Leases[p] = l
			}
		case savesWord:
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && partition {
				o.Saves[p] = n
			}
		}
	}
	return o
}

// How a swap compares a field.
const (
	whole = "whole" // the value is Old
	byTag = "tag"   // the value's tag is Old
	never = "never" // it is set whatever it is
)

// swap sets fields of a hash if all of them are as expected, and then fields of
// another hash. If all are as they are to be already it is a repetition.
//
//	KEYS[1] hash   KEYS[2] the other
//	ARGV number of swaps, for each of them how it compares, field, old, new ('' for
//	none); then field, value for each of the other hash
//	returns 1 if everything is as it is to be, 0 if nothing was done
var swap = redis.NewScript(`
local last, fits, done = tonumber(ARGV[1]) * 4, true, true
for i = 2, last, 4 do
	local value = redis.call('HGET', KEYS[1], ARGV[i + 1]) or ''
	done = done and value == ARGV[i + 3]
	if ARGV[i] == 'tag' then value = string.match(value, '^[^:]*') end
	fits = fits and (value == ARGV[i + 2] or ARGV[i] == 'never')
end
if not fits then return done and 1 or 0 end
for i = 2, last, 4 do
	if ARGV[i + 3] == '' then redis.call('HDEL', KEYS[1], ARGV[i + 1])
	else redis.call('HSET', KEYS[1], ARGV[i + 1], ARGV[i + 3]) end
end
for i = last + 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1`)

// SwapOwners sets fields of the table if each is as its swap says, all or none. It
// says whether they are as they are to be, which is so too if it was carried out
// before and its answer was lost.
func (s *Store) SwapOwners(ctx context.Context, swaps ...Swap) (bool, error) {
	args := []any{len(swaps)}
	for _, one := range swaps {
		args = append(args, whole, one.Field, one.Old, one.New)
	}
	answer, err := s.run(ctx, swap, []string{ownersKey, ownersKey}, args...)
	return answer == int64(1), err
}

// SetSaves sets the number of saves that a partition has seen, after Redis came back
// with older data. The error is [ooo.ErrNotOwner] if the lease is another.
func (s *Store) SetSaves(ctx context.Context, lease Lease, p int, n int64) error {
	answer, err := s.run(ctx, swap, []string{ownersKey, ownersKey}, 2,
		whole, LeaseField(p), lease.String(), lease.String(), never, SavesField(p), "", n)
	if err == nil && answer != int64(1) {
		err = ooo.ErrNotOwner
	}
	return err
}

// SetSync leaves the mark that the mediator is to be asked for its users, in place of
// one that is there.
func (s *Store) SetSync(ctx context.Context, mark string) error {
	return translate(s.client.HSet(ctx, ownersKey, FieldSync, mark).Err())
}

// ClearSync removes the mark unless a new one was left.
func (s *Store) ClearSync(ctx context.Context, mark string) error {
	_, err := s.SwapOwners(ctx, Swap{FieldSync, mark, ""})
	return err
}

// SetWait lets all replicas know of a wait that Graph asked of the whole app.
func (s *Store) SetWait(ctx context.Context, name string, d time.Duration) error {
	w := Wait{time.Now().Add(d), d}
	if err := s.client.HSet(ctx, ownersKey, WaitField(name), w.String()).Err(); err != nil {
		return translate(err)
	}
	s.publish(ctx, wire{WaitName: name, Wait: w.String()})
	return nil
}

// PutReads says of some partitions when their mailboxes were last read.
func (s *Store) PutReads(ctx context.Context, reads map[int]Reads) error {
	var fields []any
	for p, r := range reads {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode reads: %w", err)
		}
		fields = append(fields, p, text)
	}
	if len(fields) == 0 {
		return nil
	}
	return translate(s.client.HSet(ctx, readsKey, fields...).Err())
}
