package store

import (
	"context"
	"slices"
	"strings"

	"outlook-monitor/internal/ooo"
)

// chunkSize is how much goes into one pipeline or script, so that no one else waits
// long for Redis.
const chunkSize = 500

// hintField is the field of a hint, the same for all that coalesce: kind, record and
// subject, separated by tabs, which none of the first two can hold.
func hintField(h ooo.Hint) string { return string(h.Kind) + "\t" + string(h.ID) + "\t" + h.Subject }

// setHintField sets what hintField wrote, and says whether it did.
func setHintField(h *ooo.Hint, field string) bool {
	kind, rest, _ := strings.Cut(field, "\t")
	id, subject, ok := strings.Cut(rest, "\t")
	h.Kind, h.ID, h.Subject = ooo.HintKind(kind), ooo.RecordID(id), subject
	return ok && kind != "" && id != ""
}

// decodeHint reads a hint. The error is [ErrDamaged].
func decodeHint(field, value string) (h ooo.Hint, err error) {
	nonce, err := decode(value, &h)
	if err != nil || nonce == "" || !setHintField(&h, field) {
		return ooo.Hint{}, damaged("hint", field)
	}
	h.Nonce = nonce
	return h, nil
}

// Hints returns the hints for all mailboxes, in no order, and an [ErrDamaged] for each
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
		value, err := encode(h.Nonce, h)
		if err != nil {
			return err
		}
		fields = append(fields, hintField(h), value)
	}
	pipe := s.client.Pipeline()
	written := pipe.HSet(ctx, hintsKey, fields...)
	if publish {
		s.publish(ctx, pipe, hintMessages(hints)...)
	}
	pipe.Exec(ctx) //nolint:errcheck // the first command has its own error, the others don't matter
	return translate(written.Err())
}

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
