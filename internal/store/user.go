package store

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// User returns what is known of a monitored address. Until the owner has carried out
// the wish it is pending. The error is [ooo.ErrNotMonitored] if no wish says on, and
// [ErrDamaged] if its wish or record can't be read.
func (s *Store) User(ctx context.Context, address string) (ooo.User, error) {
	w, err := s.Wish(ctx, address)
	switch {
	case err != nil:
		return ooo.User{}, err
	case !w.On:
		return ooo.User{}, ooo.ErrNotMonitored
	}
	users, err := s.loadUsers(ctx, []ooo.Wish{w})
	if err != nil {
		return ooo.User{}, err
	}
	return users[0].User, users[0].err
}

// loadedUser is a user, or why its record can't be read.
type loadedUser struct {
	ooo.User
	err error // [ErrDamaged]
}

// loadUsers returns the users of wishes in their order, in one round trip.
func (s *Store) loadUsers(ctx context.Context, wishes []ooo.Wish) ([]loadedUser, error) {
	if len(wishes) == 0 {
		return nil, nil
	}
	pipe := s.client.Pipeline()
	records := make([]*redis.StringCmd, len(wishes))
	var reads [ooo.Partitions]*redis.StringCmd
	for i, w := range wishes {
		id := w.Record()
		p := id.Partition()
		records[i] = pipe.HGet(ctx, recordsKey(p), string(id))
		if reads[p] == nil {
			reads[p] = pipe.HGet(ctx, readsKey, strconv.Itoa(p))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, translate(err)
	}
	var decoded [ooo.Partitions]Reads
	for p, read := range reads {
		if read == nil || read.Val() == "" {
			continue
		}
		if json.Unmarshal([]byte(read.Val()), &decoded[p]) != nil {
			decoded[p] = Reads{} // what the records say is good enough
			s.report(ctx, damaged("reads", strconv.Itoa(p)))
		}
	}
	users := make([]loadedUser, len(wishes))
	for i, w := range wishes {
		users[i] = view(w, records[i].Val(), &decoded[w.Record().Partition()])
	}
	return users, nil
}

// view shows a wish that says on with its record as Redis has it.
func view(w ooo.Wish, record string, reads *Reads) loadedUser {
	pending := ooo.User{
		Address: w.Address, Person: w.Person, Condition: ooo.Pending, Delivery: ooo.Delivery{State: ooo.DeliveryNone},
	}
	if record == "" {
		return loadedUser{User: pending}
	}
	m, err := decodeRecord(w.Record(), record)
	if err != nil {
		return loadedUser{err: err}
	}
	a := m.Address(w.Address)
	if a == nil {
		return loadedUser{User: pending}
	}
	u := m.User(a)
	u.Address = w.Address // as it was spelled last
	u.CheckedAt = reads.checkedAt(m)
	return loadedUser{User: u}
}

// checkedAt is when a mailbox was last read with success: what its record says, or the
// times of reads, which are written more often. A mailbox that was not read yet has
// no time in its record, and those of its partition are not about it.
func (r *Reads) checkedAt(m *ooo.Mailbox) time.Time {
	at, excepted := r.Except[m.ID]
	if !excepted {
		at = r.At
	}
	if m.CheckedAt.IsZero() || at.Before(m.CheckedAt) {
		return m.CheckedAt
	}
	return at
}
