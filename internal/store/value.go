package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// ErrDamaged means that a value in Redis can't be read.
var ErrDamaged = errors.New("what Redis holds can't be read")

// encode returns "<tag>:<JSON of v>". Scripts compare the tag and read no JSON: it is
// the version of a record, the nonce of a wish or hint.
func encode(tag string, v any) (string, error) {
	text, err := json.Marshal(v)
	if err == nil && tag == "" {
		err = errors.New("it has no nonce")
	}
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return tag + ":" + string(text), nil
}

// decode reads what encode wrote. The tag is valid even if the JSON is not.
func decode(value string, v any) (tag string, err error) {
	tag, text, _ := strings.Cut(value, ":")
	return strings.Clone(tag), json.Unmarshal([]byte(text), v) // a part of value would keep all of it in memory
}

// damagedError is [ErrDamaged] of one value. Neither the value nor its field is in the
// text: they may hold an address.
type damagedError struct {
	kind string // such as record
	hash uint32 // of the field
}

func (e damagedError) Error() string { return fmt.Sprintf("%s #%08x: %v", e.kind, e.hash, ErrDamaged) }
func (e damagedError) Unwrap() error { return ErrDamaged }

func damaged(kind, field string) error {
	h := fnv.New32a()
	h.Write([]byte(field))
	return damagedError{kind, h.Sum32()}
}

// maxReports bounds the damaged values that are remembered as reported.
const maxReports = 1000

// report logs and counts a damaged value, once.
func (s *Store) report(ctx context.Context, err error) {
	d, ok := errors.AsType[damagedError](err)
	s.reportsMu.Lock()
	known := !ok || s.reports[d] || len(s.reports) >= maxReports
	if !known {
		s.reports[d] = true
	}
	s.reportsMu.Unlock()
	if !known {
		s.onDamaged(d.kind)
		s.log.ErrorContext(ctx, "damaged entry in redis skipped, the rest are unaffected", "kind", d.kind, "err", err)
	}
}
