package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// hintField is the field of a hint, the same for all that coalesce: kind, record and
// subject, separated by tabs, which none of the first two can hold.
func hintField(h ooo.Hint) string { return string(h.Kind) + "\t" + string(h.ID) + "\t" + h.Subject }

func encodeHint(h ooo.Hint) (string, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("encode hint: %w", err)
	}
	return tagged(h.Nonce, text), nil
}

// decodeHint reads a hint. The error is a [DamagedHint].
func decodeHint(field, value string) (ooo.Hint, error) {
	var h ooo.Hint
	nonce, text := untag(value)
	kind, rest, _ := strings.Cut(field, "\t")
	id, subject, ok := strings.Cut(rest, "\t")
	if !ok || kind == "" || id == "" || nonce == "" || json.Unmarshal([]byte(text), &h) != nil {
		return ooo.Hint{}, DamagedHint{field}
	}
	h.ID, h.Kind, h.Subject, h.Nonce = ooo.RecordID(id), ooo.HintKind(kind), subject, nonce
	return h, nil
}

// DamagedHint is the [ErrDamaged] of a hint. Its text does not tell the field, which
// may hold an address.
type DamagedHint struct{ Field string }

func (d DamagedHint) Error() string { return damaged("hint", d.Field).Error() }

// Unwrap returns [ErrDamaged].
func (DamagedHint) Unwrap() error { return ErrDamaged }

// Hints returns the hints for all mailboxes, in no order, and a [DamagedHint] for each
// that can't be read.
func (s *Store) Hints(ctx context.Context) (hints []ooo.Hint, damaged []error, err error) {
	all, err := s.client.HGetAll(ctx, hintsKey).Result()
	if err != nil {
		return nil, nil, translate(err)
	}
	for field, value := range all {
		if h, err := decodeHint(field, value); err != nil {
			damaged = append(damaged, err)
		} else {
			hints = append(hints, h)
		}
	}
	return hints, damaged, nil
}

// LeaveHints leaves hints for the owners of their mailboxes, all or none, and lets
// them know by a message if publish says so.
func (s *Store) LeaveHints(ctx context.Context, publish bool, hints ...ooo.Hint) error {
	if len(hints) == 0 {
		return nil
	}
	fields := make([]any, 0, 2*len(hints))
	for _, h := range hints {
		value, err := encodeHint(h)
		if err != nil {
			return err
		}
		fields = append(fields, hintField(h), value)
	}
	pipe := s.client.Pipeline()
	written := pipe.HSet(ctx, hintsKey, fields...)
	if publish {
		s.publishOn(ctx, pipe, hintWires(hints)...)
	}
	pipe.Exec(ctx) //nolint:errcheck // the first command has its own error, the others don't matter
	return translate(written.Err())
}

// removeHints removes fields of a hash whose tags are as expected.
//
//	KEYS[1] hash   ARGV field, tag of each
var removeHints = redis.NewScript(`
for i = 1, #ARGV, 2 do
	local value = redis.call('HGET', KEYS[1], ARGV[i]) or ''
	if string.match(value, '^[^:]*') == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 1`)

// RemoveHints removes hints that were carried out, but for those that were left again
// meanwhile.
func (s *Store) RemoveHints(ctx context.Context, hints ...ooo.Hint) error {
	for chunk := range slices.Chunk(hints, chunkSize) {
		args := make([]any, 0, 2*len(chunk))
		for _, h := range chunk {
			args = append(args, hintField(h), h.Nonce)
		}
		if _, err := s.run(ctx, removeHints, []string{hintsKey}, args...); err != nil {
			return err
		}
	}
	return nil
}

// DropHint removes a hint that can't be read, by the field of its [DamagedHint].
func (s *Store) DropHint(ctx context.Context, field string) error {
	return translate(s.client.HDel(ctx, hintsKey, field).Err())
}
