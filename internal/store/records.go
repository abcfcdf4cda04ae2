package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unique"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Loaded is what Redis has of one partition.
type Loaded struct {
	Records []*ooo.Mailbox
	Damaged map[ooo.RecordID]error // records that can't be read
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
			s.report(ctx, err)
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

// ErrVersion means that the record in Redis has another version than the save
// follows on: Redis came back with older data.
var ErrVersion = errors.New("the record in Redis has another version")

// Save is one write of a record by the owner of its partition.
type Save struct {
	Lease  Lease
	Record *ooo.Mailbox // with its new version: one more than in Redis
	Remove bool         // delete the record; Record still says which and its version
	// Overwrite writes or removes the record if the version in Redis is any lower one,
	// which happens after Redis came back with older data.
	Overwrite bool

	RemovedAddresses []string        // their rows are deleted
	DeletedHistories []string        // addresses whose history is deleted too
	Events           []ooo.FeedEntry // for the histories and the feed
	DoneHints        []ooo.Hint      // carried out: each is deleted if its nonce is still the same
	NewHints         []ooo.Hint
	Wishes           []WishSwap
}

// WishSwap replaces the wish of an address, or removes it if New is nil, unless
// somebody wrote it since.
type WishSwap struct {
	Address string // in any spelling
	Nonce   string // of the wish that is replaced; empty: there is none
	New     *ooo.Wish
}

// Save writes a record with all that goes with it, or nothing. It is nil if that was
// carried out, now or by a save that was the same. The error is [ooo.ErrNotOwner] if
// the table names another lease, and [ErrVersion] if the record in Redis is not the
// one that this follows on; of an Overwrite, if it is a newer one. After any other
// error the outcome is not known: repeat the save as it is.
//
// Each save that is carried out counts for the partition, a repetition does not.
func (s *Store) Save(ctx context.Context, sv Save) error {
	keys, args, err := encodeSave(sv)
	if err != nil {
		return err
	}
	answer, err := s.run(ctx, save, keys, args...)
	if err != nil {
		return err
	}
	switch answer {
	case "owner":
		return ooo.ErrNotOwner
	case "version":
		return ErrVersion
	}
	s.announce(ctx, sv.NewHints)
	return nil
}

// encodeSave returns the keys and arguments of the script.
func encodeSave(sv Save) (keys []string, args []any, err error) {
	m := sv.Record
	p := m.ID.Partition()
	record := ""
	var left, rows, leave, forget, events, wishes, done []any
	for _, address := range sv.RemovedAddresses {
		left = append(left, ooo.FoldAddress(address))
	}
	for i := range m.Addresses {
		if a := &m.Addresses[i]; sv.Remove {
			left = append(left, a.Folded())
		} else {
			rows = append(rows, a.Folded(), encodeSummary(m.Summary(a)))
		}
	}
	if !sv.Remove {
		if record, err = encode(strconv.FormatInt(m.Version, 10), m); err != nil {
			return nil, nil, err
		}
	}
	for _, h := range sv.NewHints {
		value, err := encode(h.Nonce, h)
		if err != nil {
			return nil, nil, err
		}
		leave = append(leave, hintField(h), value)
	}
	keys = []string{ownersKey, recordsKey(p), rowsKey(p), wantsKey, hintsKey, feedKey}
	number := func(key string) int { // from 1 on
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		return slices.Index(keys, key) + 1
	}
	var gone []string
	for _, address := range sv.DeletedHistories {
		gone = append(gone, historyKey(address))
		forget = append(forget, number(historyKey(address)))
	}
	for _, e := range sv.Events {
		text, err := encodeEvent(e.Event)
		if err != nil {
			return nil, nil, err
		}
		history := 0 // one that goes gets no entry
		if key := historyKey(e.Address); !slices.Contains(gone, key) {
			history = number(key)
		}
		events = append(events, history, text, e.Address, e.Name)
	}
	for _, w := range sv.Wishes {
		value := ""
		if w.New != nil {
			if value, err = encode(w.New.Nonce, *w.New); err != nil {
				return nil, nil, err
			}
		}
		wishes = append(wishes, ooo.FoldAddress(w.Address), w.Nonce, value)
	}
	for _, h := range sv.DoneHints {
		done = append(done, hintField(h), h.Nonce)
	}
	args = []any{LeaseField(p), sv.Lease.String(), SavesField(p), string(m.ID), m.Version, record, sv.Overwrite}
	for _, list := range []struct {
		items []any
		width int
	}{{left, 1}, {rows, 2}, {leave, 2}, {forget, 1}, {events, 4}, {wishes, 3}, {done, 2}} {
		args = append(append(args, len(list.items)/list.width), list.items...)
	}
	return keys, args, nil
}
