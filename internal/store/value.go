package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// ErrDamaged means that a value in Redis can't be decoded.
var ErrDamaged = errors.New("the value in Redis can't be decoded")

// encode returns "<tag>:<JSON of v>". Scripts compare the tag instead of reading JSON: it is the
// version of a record, or the nonce of a wish or hint.
func encode(tag string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err == nil && tag == "" {
		err = errors.New("empty nonce")
	}
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return tag + ":" + string(text), nil
}

// decode is the inverse of encode. The tag is valid even if the JSON is not.
func decode(value string, v any) (tag string, err error) {
	tag, text, _ := strings.Cut(value, ":")
	return strings.Clone(tag), json.Unmarshal([]byte(text), v) // a substring would keep all of value in memory
}

// damagedError is [ErrDamaged] for one value. Its text contains neither the value nor its field:
// they may contain an address.
type damagedError struct {
	kind string // such as "record"
	hash uint32 // of the field
}

func (e damagedError) Error() string { return fmt.Sprintf("%s #%08x: %v", e.kind, e.hash, ErrDamaged) }
func (e damagedError) Unwrap() error { return ErrDamaged }

// maxReports limits the damaged values that are remembered as reported.
const maxReports = 1000

// damaged returns [ErrDamaged] for a value, and logs and counts it, once.
func (s *Store) damaged(ctx context.Context, kind, field string) error {
	h := fnv.New32a()
	h.Write([]byte(field))
	err := damagedError{kind, h.Sum32()}
	s.reportsMu.Lock()
	first := !s.reports[err] && len(s.reports) < maxReports
	if first {
		s.reports[err] = true
	}
	s.reportsMu.Unlock()
	if first {
		s.onDamaged(kind)
		s.log.ErrorContext(ctx, "damaged entry in redis skipped, the rest are unaffected", "kind", kind, "err", err)
	}
	return err
}
