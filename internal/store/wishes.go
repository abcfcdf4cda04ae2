package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// chunkSize is how much goes into one pipeline or script, so that no one else waits
// long for Redis.
const chunkSize = 500

func encodeWish(w ooo.Wish) (string, error) {
	if w.Nonce == "" {
		return "", errors.New("encode wish: it has no nonce")
	}
	text, err := json.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("encode wish: %w", err)
	}
	return tagged(w.Nonce, text), nil
}

// decodeWish reads the wish of a folded address. The error is [ErrDamaged]; then the
// wish has nothing but its nonce, so that it can be replaced.
func decodeWish(address, value string) (ooo.Wish, error) {
	var w ooo.Wish
	nonce, text := untag(value)
	nonce = strings.Clone(nonce) // a record keeps it, and would keep the whole value with it
	if err := json.Unmarshal([]byte(text), &w); err != nil || ooo.FoldAddress(w.Address) != address {
		return ooo.Wish{Nonce: nonce}, damaged("wish", address)
	}
	w.Nonce = nonce
	return w, nil
}

// Wish returns the wish of an address, a zero one if there is none. The error is
// [ErrDamaged] if it can't be read; then it has nothing but its nonce, so that it can
// be replaced.
func (s *Store) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	folded := ooo.FoldAddress(address)
	value, err := s.client.HGet(ctx, wantsKey, folded).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return ooo.Wish{}, nil
	case err != nil:
		return ooo.Wish{}, translate(err)
	}
	return decodeWish(folded, value)
}

// Wishes returns the wishes of addresses in their order, as [Store.Wish] does. Those
// that can't be read have nothing but their nonce.
func (s *Store) Wishes(ctx context.Context, addresses ...string) ([]ooo.Wish, error) {
	wishes := make([]ooo.Wish, 0, len(addresses))
	for chunk := range slices.Chunk(addresses, chunkSize) {
		folded := make([]string, len(chunk))
		for i, address := range chunk {
			folded[i] = ooo.FoldAddress(address)
		}
		values, err := s.client.HMGet(ctx, wantsKey, folded...).Result()
		if err != nil {
			return nil, translate(err)
		}
		for i, value := range values {
			w := ooo.Wish{}
			if text, ok := value.(string); ok {
				w, _ = decodeWish(folded[i], text) // one that is damaged has its nonce
			}
			wishes = append(wishes, w)
		}
	}
	return wishes, nil
}

// AllWishes returns all wishes that can be read, in no order.
func (s *Store) AllWishes(ctx context.Context) ([]ooo.Wish, error) {
	values, err := s.client.HGetAll(ctx, wantsKey).Result()
	if err != nil {
		return nil, translate(err)
	}
	wishes := make([]ooo.Wish, 0, len(values))
	for folded, value := range values {
		if w, err := decodeWish(folded, value); err == nil {
			wishes = append(wishes, w)
		}
	}
	return wishes, nil
}

// WishChange replaces a wish and leaves a hint for the owner of its record.
type WishChange struct {
	Old  ooo.Wish // as it was read; zero for none
	New  ooo.Wish
	Hint ooo.Hint
}

// SwapWish replaces the wish of an address, unless somebody wrote it since it was old,
// and leaves the hint with it. It says whether it did.
func (s *Store) SwapWish(ctx context.Context, old, next ooo.Wish, hint ooo.Hint) (bool, error) {
	swapped, err := s.SwapWishes(ctx, []WishChange{{old, next, hint}})
	return err == nil && swapped[0], err
}

// SwapWishes does as [Store.SwapWish] with many, each by itself. After an error it is
// not known which were carried out; all may be repeated.
func (s *Store) SwapWishes(ctx context.Context, changes []WishChange) ([]bool, error) {
	swapped := make([]bool, 0, len(changes))
	for chunk := range slices.Chunk(changes, chunkSize) {
		calls := make([][]any, len(chunk))
		for i, c := range chunk {
			if earliest := c.Old.At.Add(time.Millisecond); c.New.At.Before(earliest) {
				c.New.At = earliest // times of one address' wishes grow, whatever the clocks of replicas say
			}
			wish, err := encodeWish(c.New)
			if err != nil {
				return nil, err
			}
			hint, err := encodeHint(c.Hint)
			if err != nil {
				return nil, err
			}
			calls[i] = []any{1, byTag, ooo.FoldAddress(c.New.Address), c.Old.Nonce, wish, hintField(c.Hint), hint}
		}
		answers, err := s.runAll(ctx, swap, []string{wantsKey, hintsKey}, calls)
		if err != nil {
			return nil, err
		}
		var left []ooo.Hint
		for i, answer := range answers {
			swapped = append(swapped, answer == int64(1))
			if answer == int64(1) {
				left = append(left, chunk[i].Hint)
			}
		}
		s.written.Add(1)
		s.announce(ctx, left)
	}
	return swapped, nil
}
