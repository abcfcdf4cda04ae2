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

// Loaded is the data of one partition in Redis.
type Loaded struct {
	Records []*ooo.Mailbox
	Damaged map[ooo.RecordID]error // records that can't be decoded
	Saves   int64
	// ReadUntil is the Until of the last owner's [Reads]; zero: not known.
	ReadUntil time.Time
}

// Reads says when the mailboxes of a partition were last read successfully: at At, except
// those in Except. It is saved every few seconds.
type Reads struct {
	At     time.Time                  `json:"at"`
	Until  time.Time                  `json:"written"` // until then the owner began the reads that were due
	Except map[ooo.RecordID]time.Time `json:"except,omitempty"`
}

// Load returns the data of a partition.
func (s *Store) Load(ctx context.Context, p int) (Loaded, error) {
	pipe := s.client.Pipeline()
	saves := pipe.HGet(ctx, ownersKey, SavesField(p))
	records := pipe.HGetAll(ctx, recordsKey(p))
	reads := pipe.HGet(ctx, readsKey, strconv.Itoa(p))
	if err := exec(ctx, pipe); err != nil {
		return Loaded{}, err
	}
	loaded := Loaded{Damaged: map[ooo.RecordID]error{}}
	loaded.Saves, _ = strconv.ParseInt(saves.Val(), 10, 64) // 0 if it does not exist
	loaded.ReadUntil = s.decodeReads(ctx, p, reads.Val()).Until
	for field, value := range records.Val() {
		id := ooo.RecordID(field)
		m, err := s.decodeRecord(ctx, id, value)
		if err != nil {
			loaded.Damaged[id] = err
			continue
		}
		loaded.Records = append(loaded.Records, m)
	}
	return loaded, nil
}

// LoadRecord returns the record of a mailbox, nil if there is none. It returns [ErrDamaged] if
// the record can't be decoded.
func (s *Store) LoadRecord(ctx context.Context, id ooo.RecordID) (*ooo.Mailbox, error) {
	value, err := s.client.HGet(ctx, recordsKey(id.Partition()), string(id)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, translate(err)
	}
	return s.decodeRecord(ctx, id, value)
}

// PutReads writes when the mailboxes of partitions were last read.
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

// decodeReads returns zero Reads if the value is empty or damaged: the CheckedAt of the records
// is good enough then.
func (s *Store) decodeReads(ctx context.Context, p int, value string) (r Reads) {
	if value != "" && json.Unmarshal([]byte(value), &r) != nil {
		_ = s.damaged(ctx, "reads", strconv.Itoa(p))
		return Reads{}
	}
	return r
}

// decodeRecord decodes a record. It returns [ErrDamaged] if it can't.
func (s *Store) decodeRecord(ctx context.Context, id ooo.RecordID, value string) (*ooo.Mailbox, error) {
	m := &ooo.Mailbox{}
	tag, err := decode(value, m)
	version, err2 := strconv.ParseInt(tag, 10, 64)
	if err != nil || err2 != nil || m.ID != id {
		return nil, s.damaged(ctx, "record", string(id))
	}
	m.Version = version
	intern(m)
	return m, nil
}

// intern makes equal strings share memory, within the record and across records.
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

// ErrVersion means that the version in Redis is not the predecessor of the saved one: Redis came
// back with older data.
var ErrVersion = errors.New("the record in Redis has another version")

// Save is one write of a record by the owner of its partition.
type Save struct {
	Lease  Lease
	Record *ooo.Mailbox // with its new version: one more than in Redis
	Remove bool         // delete the record; Record still has its id and new version
	// Overwrite accepts any lower version in Redis, not only the predecessor, for use after
	// Redis came back with older data.
	Overwrite bool

	RemovedAddresses []string        // their rows are deleted
	DeletedHistories []string        // addresses whose history is deleted too
	Events           []ooo.FeedEntry // for the histories and the feed
	DoneHints        []ooo.Hint      // carried out: each is deleted if its nonce is still the same
	NewHints         []ooo.Hint
	Wishes           []WishChange
}

// Save writes everything in the save, or nothing. It returns nil if the save was carried out,
// now or by an earlier identical call; [ooo.ErrNotOwner] if the table has another lease; and
// [ErrVersion] if the version in Redis is not the predecessor or, with Overwrite, is not lower.
// After any other error the outcome is unknown: repeat the same save. The repetition of a removal
// returns ErrVersion too, as if Redis had lost the record.
//
// Each save that is carried out increments the partition's number of saves; a repetition does
// not.
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
	s.send(ctx, hintMessages(sv.NewHints)...)
	return nil
}

// encodeSave returns the keys and arguments of the save script.
func encodeSave(sv Save) (keys []string, args []any, err error) {
	m := sv.Record
	p := m.ID.Partition()
	record := ""
	if !sv.Remove {
		if record, err = encode(strconv.FormatInt(m.Version, 10), m); err != nil {
			return nil, nil, err
		}
	}
	var removed, rows, hints, histories, events, wishes, done [][]any // each item as the script reads it
	for _, address := range sv.RemovedAddresses {
		removed = append(removed, []any{ooo.FoldAddress(address)})
	}
	for i := range m.Addresses {
		if a := &m.Addresses[i]; sv.Remove {
			removed = append(removed, []any{a.Folded()})
		} else {
			rows = append(rows, []any{a.Folded(), encodeSummary(m.Summary(a))})
		}
	}
	for _, h := range sv.NewHints {
		value, err := encode(h.Nonce, h)
		if err != nil {
			return nil, nil, err
		}
		hints = append(hints, []any{hintField(h), value})
	}
	keys = []string{ownersKey, recordsKey(p), rowsKey(p), wantsKey, hintsKey, feedKey}
	number := func(key string) int { // index in KEYS, from 1
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		return slices.Index(keys, key) + 1
	}
	var deleted []string
	for _, address := range sv.DeletedHistories {
		deleted = append(deleted, historyKey(address))
		histories = append(histories, []any{number(historyKey(address))})
	}
	for _, e := range sv.Events {
		text, err := json.Marshal(e.Event)
		if err != nil {
			return nil, nil, fmt.Errorf("encode event: %w", err)
		}
		history := 0 // a deleted history gets no entry
		if key := historyKey(e.Address); !slices.Contains(deleted, key) {
			history = number(key)
		}
		events = append(events, []any{history, text, e.Address, e.Name})
	}
	for _, w := range sv.Wishes {
		field, value, err := w.encode()
		if err != nil {
			return nil, nil, err
		}
		wishes = append(wishes, []any{field, w.Old.Nonce, value})
	}
	for _, h := range sv.DoneHints {
		done = append(done, []any{hintField(h), h.Nonce})
	}
	args = []any{
		LeaseField(p), sv.Lease.String(), SavesField(p), string(m.ID), m.Version, record, sv.Overwrite, ooo.HistoryLength, feedLength,
	}
	for _, list := range [][][]any{removed, rows, hints, histories, events, wishes, done} { // in the order of the script
		args = append(args, len(list))
		for _, item := range list {
			args = append(args, item...)
		}
	}
	return keys, args, nil
}
