package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unique"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Loaded is what Redis has of one partition.
type Loaded struct {
	Records []*ooo.Mailbox
	Damaged map[ooo.RecordID]error // records that can't be read; they are left alone
	Saves   int64
	// ReadsAt is when the last owner wrote how it reads: until then every mailbox was
	// read every interval. Zero: not known.
	ReadsAt time.Time
}

// Reads says when the mailboxes of a partition were last read with success: all at
// At, but those in Except. It is saved every few seconds.
type Reads struct {
	At      time.Time                  `json:"at"`
	Written time.Time                  `json:"written"`
	Except  map[ooo.RecordID]time.Time `json:"except,omitempty"`
}

// Load returns what Redis has of a partition.
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
	loaded.ReadsAt = s.decodeReads(ctx, p, reads.Val()).Written
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

// PutReads writes of some partitions when their mailboxes were last read.
func (s *Store) PutReads(ctx context.Context, reads map[int]Reads) error {
	if len(reads) == 0 {
		return nil
	}
	var fields []any
	for p, r := range reads {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode reads: %w", err)
		}
		fields = append(fields, p, text)
	}
	return translate(s.client.HSet(ctx, readsKey, fields...).Err())
}

// decodeReads is zero if there is no value, or one that can't be read: what the records
// say is good enough then.
func (s *Store) decodeReads(ctx context.Context, p int, value string) (r Reads) {
	if value != "" && json.Unmarshal([]byte(value), &r) != nil {
		s.report(ctx, damaged("reads", strconv.Itoa(p)))
		return Reads{}
	}
	return r
}

// decodeRecord reads a record. The error is [ErrDamaged].
func decodeRecord(id ooo.RecordID, value string) (*ooo.Mailbox, error) {
	m := &ooo.Mailbox{}
	tag, err := decode(value, m)
	version, err2 := strconv.ParseInt(tag, 10, 64)
	if err != nil || err2 != nil || m.ID != id {
		return nil, damaged("record", string(id))
	}
	m.Version = version
	intern(m)
	return m, nil
}

// intern lets equal strings in one record, or in many, share their memory: decoded,
// each has its own.
func intern(m *ooo.Mailbox) {
	if m.Person.ID == m.ID.ObjectID() {
		m.Person.ID = m.ID.ObjectID()
	}
	share(&m.Condition)
	share(&m.Policy)
	if m.Setting != nil {
		share(&m.Setting.Status)
		share(&m.Setting.ExternalAudience)
		if m.State != nil && m.State.Message == m.Setting.Message {
			m.State.Message = m.Setting.Message
		}
	}
	for i := range m.Addresses {
		a := &m.Addresses[i]
		share(&a.Source)
		share(&a.Delivery.State)
		if a.Spelling == m.Person.UserPrincipalName {
			a.Spelling = m.Person.UserPrincipalName
		}
	}
	for i := range m.Subscriptions {
		s := &m.Subscriptions[i]
		share(&s.Resource)
		share(&s.State)
		share(&s.NotificationURL)
		share(&s.LifecycleURL)
		share(&s.KeyTag)
		share(&s.CertificateID)
	}
}

func share[S ~string](s *S) { *s = S(unique.Make(string(*s)).Value()) }
