package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// decodeWish decodes the wish of a folded address. If it can't, it returns [ErrDamaged] and a wish
// with only the nonce, so that it can be replaced.
func (s *Store) decodeWish(ctx context.Context, address, value string) (ooo.Wish, error) {
	var w ooo.Wish
	nonce, err := decode(value, &w)
	if err != nil || ooo.FoldAddress(w.Address) != address {
		return ooo.Wish{Nonce: nonce}, s.damaged(ctx, "wish", address)
	}
	w.Nonce = nonce
	return w, nil
}

// Wish returns the wish of an address, a zero one if there is none. If the wish is damaged, it
// returns [ErrDamaged] and a wish with only the nonce, so that it can be replaced.
func (s *Store) Wish(ctx context.Context, address string) (ooo.Wish, error) {
	folded := ooo.FoldAddress(address)
	value, err := s.client.HGet(ctx, wantsKey, folded).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return ooo.Wish{}, nil
	case err != nil:
		return ooo.Wish{}, translate(err)
	}
	return s.decodeWish(ctx, folded, value)
}

// Wishes returns the wishes of addresses in their order, like [Store.Wish]. Damaged ones have
// only the nonce.
func (s *Store) Wishes(ctx context.Context, addresses ...string) ([]ooo.Wish, error) {
	wishes := make([]ooo.Wish, len(addresses))
	for from := 0; from < len(addresses); from += chunkSize {
		folded := make([]string, min(chunkSize, len(addresses)-from))
		for i := range folded {
			folded[i] = ooo.FoldAddress(addresses[from+i])
		}
		values, err := s.client.HMGet(ctx, wantsKey, folded...).Result()
		if err != nil {
			return nil, translate(err)
		}
		for i, value := range values {
			if text, ok := value.(string); ok {
				wishes[from+i], _ = s.decodeWish(ctx, folded[i], text)
			}
		}
	}
	return wishes, nil
}

// AllWishes returns all wishes, in no particular order. It skips damaged ones.
func (s *Store) AllWishes(ctx context.Context) ([]ooo.Wish, error) {
	values, err := s.client.HGetAll(ctx, wantsKey).Result()
	if err != nil {
		return nil, translate(err)
	}
	wishes := make([]ooo.Wish, 0, len(values))
	for folded, value := range values {
		if w, err := s.decodeWish(ctx, folded, value); err == nil {
			wishes = append(wishes, w)
		}
	}
	return wishes, nil
}

// ErrChanged means that an address has another wish by now.
var ErrChanged = errors.New("the address has another wish by now")

// WishChange replaces the wish of an address if its nonce is still the same.
type WishChange struct {
	Old ooo.Wish // zero: there is none
	New ooo.Wish // zero: remove the wish, in a [Save]
}

// encode returns the field of the wish and its new value, "" to remove it. The times of an
// address's wishes increase, whatever the clocks of replicas say.
func (c WishChange) encode() (field, value string, err error) {
	if c.New == (ooo.Wish{}) {
		return ooo.FoldAddress(c.Old.Address), "", nil
	}
	if earliest := c.Old.At.Add(time.Millisecond); c.New.At.Before(earliest) {
		c.New.At = earliest
	}
	value, err = encode(c.New.Nonce, c.New)
	return ooo.FoldAddress(c.New.Address), value, err
}

// SwapWish replaces the wish of an address if it is still old, and leaves a hint for the owner of
// the new wish's record. It reports whether it did.
func (s *Store) SwapWish(ctx context.Context, old, next ooo.Wish) (bool, error) {
	swapped, err := s.SwapWishes(ctx, []WishChange{{old, next}})
	return err == nil && swapped[0], err
}

// SwapWishes does the same as [Store.SwapWish] for many wishes, each on its own. After an error
// it is unknown which were carried out; all may be repeated.
func (s *Store) SwapWishes(ctx context.Context, changes []WishChange) ([]bool, error) {
	swapped := make([]bool, 0, len(changes))
	for chunk := range slices.Chunk(changes, chunkSize) {
		args := make([]any, 0, 5*len(chunk))
		hints := make([]ooo.Hint, len(chunk))
		for i, c := range chunk {
			field, wish, err := c.encode()
			if err != nil {
				return nil, err
			}
			h := c.New.Hint(ooo.HintWish)
			h.Nonce, h.At = c.New.Nonce, c.New.At
			hint, err := encode(h.Nonce, h)
			if err != nil {
				return nil, err
			}
			args = append(args, field, c.Old.Nonce, wish, hintField(h), hint)
			hints[i] = h
		}
		answers, err := swapTagged.Run(ctx, s.client, []string{wantsKey, hintsKey}, args...).BoolSlice()
		if err != nil {
			return nil, translate(err)
		}
		var left []ooo.Hint
		for i, done := range answers {
			if done {
				left = append(left, hints[i])
			}
		}
		swapped = append(swapped, answers...)
		if len(left) > 0 {
			s.overviews.writes.Add(1)
			s.send(ctx, hintMessages(left)...)
		}
	}
	return swapped, nil
}
