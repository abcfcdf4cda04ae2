package store

import (
	"context"
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
	users, err := s.users(ctx, w)
	switch {
	case err != nil:
		return ooo.User{}, err
	case len(users) == 0:
		return ooo.User{}, damaged("record", string(w.Record()))
	}
	return users[0], nil
}

// users returns the users of wishes that say on, in their order, in one round trip.
// Those whose records can't be read are left out.
func (s *Store) users(ctx context.Context, wishes ...ooo.Wish) ([]ooo.User, error) {
	pipe := s.client.Pipeline()
	allReads := pipe.HGetAll(ctx, readsKey)
	records := make([]*redis.StringCmd, len(wishes))
	for i, w := range wishes {
		records[i] = pipe.HGet(ctx, recordsKey(w.Record().Partition()), string(w.Record()))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, translate(err)
	}
	users := make([]ooo.User, 0, len(wishes))
	decoded := map[int]Reads{} // by partition
	for i, w := range wishes {
		m := &ooo.Mailbox{}
		if record := records[i].Val(); record != "" {
			var err error
			if m, err = decodeRecord(w.Record(), record); err != nil {
				s.report(ctx, err)
				continue
			}
		}
		a := m.Address(w.Address)
		if a == nil { // its owner has not added it yet
			users = append(users, ooo.User{
				Address: w.Address, Person: w.Person, Condition: ooo.Pending, Delivery: ooo.Delivery{State: ooo.DeliveryNone},
			})
			continue
		}
		p := m.ID.Partition()
		reads, known := decoded[p]
		if !known {
			reads = s.decodeReads(ctx, p, allReads.Val()[strconv.Itoa(p)])
			decoded[p] = reads
		}
		u := m.User(a)
		u.Address = w.Address // as it was spelled last
		u.CheckedAt = reads.checkedAt(m)
		users = append(users, u)
	}
	return users, nil
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
