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

// damaged returns [ErrDamaged] for a value. Neither the value nor its field is in the
// text: they may hold an address.
func damaged(kind, field string) error {
	h := fnv.New32a()
	h.Write([]byte(field))
	return fmt.Errorf("%s #%08x: %w", kind, h.Sum32(), ErrDamaged)
}

// maxReports bounds the damaged values that are remembered as logged.
const maxReports = 1000

// report logs a damaged value that is skipped, once.
func (s *Store) report(ctx context.Context, err error) {
	s.reportsMu.Lock()
	defer s.reportsMu.Unlock()
	if text := err.Error(); !s.reports[text] && len(s.reports) < maxReports {
		s.reports[text] = true
		s.log.WarnContext(ctx, "damaged value in redis skipped", "err", err)
	}
}
