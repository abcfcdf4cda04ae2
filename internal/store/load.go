package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"unique"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Load returns what Redis has of a partition. Records that can't be read are left out
// and named.
func (s *Store) Load(ctx context.Context, p int) (Loaded, error) {
	pipe := s.client.Pipeline()
	saves := pipe.HGet(ctx, ownersKey, SavesField(p))
	records := pipe.HGetAll(ctx, recordsKey(p))
	reads := pipe.HGet(ctx, readsKey, strconv.Itoa(p))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return Loaded{}, translate(err)
	}
	loaded := Loaded{Damaged: map[ooo.RecordID]error{}}
	loaded.Saves, _ = strconv.ParseInt(saves.Val(), 10, 64) // 0 if there is none
	var read Reads
	if json.Unmarshal([]byte(reads.Val()), &read) == nil { // without it nothing is known, which does no harm
		loaded.ReadsAt = read.Written
	}
	for field, value := range records.Val() {
		id := ooo.RecordID(field)
		m, err := decodeRecord(id, value)
		if err != nil {
			loaded.Damaged[id] = err
			continue
		}
		loaded.Records = append(loaded.Records, m)
	}
	return loaded, nil
}

// decodeRecord reads a record. The error is [ErrDamaged].
func decodeRecord(id ooo.RecordID, value string) (*ooo.Mailbox, error) {
	tag, text := untag(value)
	m := &ooo.Mailbox{}
	version, err := strconv.ParseInt(tag, 10, 64)
	if err != nil || json.Unmarshal([]byte(text), m) != nil || m.ID != id {
		return nil, damaged("record", string(id))
	}
	m.Version = version
	share(m)
	return m, nil
}

// share has strings that say the same in a record, or in many, share their memory:
// decoded, each has its own.
func share(m *ooo.Mailbox) {
	if m.Person.ID == m.ID.ObjectID() {
		m.Person.ID = m.ID.ObjectID()
	}
	intern(&m.Condition)
	intern(&m.Policy)
	if m.Setting != nil {
		intern(&m.Setting.Status)
		intern(&m.Setting.ExternalAudience)
		if m.State != nil && m.State.Message == m.Setting.Message {
			m.State.Message = m.Setting.Message
		}
	}
	for i := range m.Addresses {
		a := &m.Addresses[i]
		intern(&a.Source)
		intern(&a.Delivery.State)
		if a.Spelling == m.Person.UserPrincipalName {
			a.Spelling = m.Person.UserPrincipalName
		}
	}
	for i := range m.Subscriptions {
		s := &m.Subscriptions[i]
		intern(&s.Resource)
		intern(&s.State)
		intern(&s.NotificationURL)
		intern(&s.LifecycleURL)
		intern(&s.KeyTag)
		intern(&s.CertificateID)
	}
}

func intern[S ~string](s *S) { *s = S(unique.Make(string(*s)).Value()) }

// damaged returns [ErrDamaged] with what is: a kind and the field of its hash, which
// may hold an address and is not told. What can't be read is not told either.
func damaged(kind, field string) error {
	h := fnv.New32a()
	h.Write([]byte(field))
	return fmt.Errorf("%s #%08x: %w", kind, h.Sum32(), ErrDamaged)
}
