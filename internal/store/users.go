package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// User returns the user for a monitored address, pending until the owner has carried out the
// wish. It returns [ooo.ErrNotMonitored] if the address is not monitored, and [ErrDamaged] if its
// wish is damaged.
func (s *Store) User(ctx context.Context, address string) (ooo.User, error) {
	w, err := s.Wish(ctx, address)
	switch {
	case err != nil:
		return ooo.User{}, err
	case !w.On:
		return ooo.User{}, ooo.ErrNotMonitored
	}
	users, err := s.users(ctx, w)
	if err != nil {
		return ooo.User{}, err
	}
	return users[0], nil
}

// damagedReason is why a user is unknown whose record is damaged.
const damagedReason = "the record in Redis can't be decoded: a start of the user replaces it"

// users returns the users for wishes that are on, in their order, in one round trip. Those with
// damaged records are unknown.
func (s *Store) users(ctx context.Context, wishes ...ooo.Wish) ([]ooo.User, error) {
	pipe := s.client.Pipeline()
	allReads := pipe.HGetAll(ctx, readsKey)
	records := make([]*redis.StringCmd, len(wishes))
	for i, w := range wishes {
		records[i] = pipe.HGet(ctx, recordsKey(w.Record().Partition()), string(w.Record()))
	}
	if err := exec(ctx, pipe); err != nil {
		return nil, err
	}
	users := make([]ooo.User, 0, len(wishes))
	decoded := map[int]Reads{} // by partition
	for i, w := range wishes {
		m := &ooo.Mailbox{}
		if record := records[i].Val(); record != "" {
			var err error
			if m, err = s.decodeRecord(ctx, w.Record(), record); err != nil {
				damaged := ooo.PendingUser(w.Address, w.Person)
				damaged.Condition, damaged.Reason = ooo.Unknown, damagedReason
				users = append(users, damaged)
				continue
			}
		}
		a := m.Address(w.Address)
		if a == nil { // the owner has not added it yet
			users = append(users, ooo.PendingUser(w.Address, w.Person))
			continue
		}
		p := m.ID.Partition()
		reads, known := decoded[p]
		if !known {
			reads = s.decodeReads(ctx, p, allReads.Val()[strconv.Itoa(p)])
			decoded[p] = reads
		}
		a.Spelling = w.Address // the wish is newer
		m.CheckedAt = reads.checkedAt(m)
		users = append(users, ooo.User{Mailbox: *m, Address: *a})
	}
	return users, nil
}

// checkedAt returns when a mailbox was last read successfully, according to its record or to the
// reads of its partition, which are written more often. A mailbox without a time in its record
// has not been read yet, so the reads don't apply to it.
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

// summaryFields is the minimum number of fields in a row; a later version may add more, which it
// finds after these and must not miss in rows of this one.
const summaryFields = 11

// unusedField stands for a time that replicas of older versions read during an upgrade.
const unusedField = "0"

// oneLine keeps a text from outside within its field.
var oneLine = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")

// encodeSummary encodes a summary as a row: fields separated by tabs. The record id comes first,
// so that the save script recognizes the rows of its record.
func encodeSummary(s ooo.Summary) string {
	away := "?"
	if s.Away != nil {
		away = flag(*s.Away)
	}
	return strings.Join([]string{
		string(s.ID), oneLine.Replace(s.Address), oneLine.Replace(s.Name), string(s.Condition), away, string(s.Delivery),
		unusedField, strconv.Itoa(s.Live), millis(s.CoveredUntil), flag(s.Failed), flag(s.NotFound),
	}, "\t")
}

// decodeSummary decodes the row of a folded address. It returns [ErrDamaged] if it can't.
func (s *Store) decodeSummary(ctx context.Context, folded, row string) (ooo.Summary, error) {
	var f [summaryFields]string
	enough := true
	for i := range f {
		if !enough {
			return ooo.Summary{}, s.damaged(ctx, "row", folded)
		}
		f[i], row, enough = strings.Cut(row, "\t")
	}
	live, err1 := strconv.Atoi(f[7])
	covered, err2 := fromMillis(f[8])
	if err1 != nil || err2 != nil {
		return ooo.Summary{}, s.damaged(ctx, "row", folded)
	}
	summary := ooo.Summary{
		ID: ooo.RecordID(f[0]), Address: f[1], Name: f[2], Condition: ooo.Condition(f[3]), Delivery: ooo.DeliveryState(f[5]),
		Live: live, CoveredUntil: covered, Failed: f[9] == "1", NotFound: f[10] == "1",
	}
	if f[4] != "?" {
		summary.Away = new(f[4] == "1")
	}
	return summary, nil
}

// RecordOf returns the id of the record that an address was last saved in, whatever its wish;
// empty if there is none.
func (s *Store) RecordOf(ctx context.Context, address string) (ooo.RecordID, error) {
	pipe := s.client.Pipeline()
	var rows [ooo.Partitions]*redis.StringCmd
	for p := range rows {
		rows[p] = pipe.HGet(ctx, rowsKey(p), ooo.FoldAddress(address))
	}
	if err := exec(ctx, pipe); err != nil {
		return "", err
	}
	for _, row := range rows {
		if id, _, found := strings.Cut(row.Val(), "\t"); found {
			return ooo.RecordID(id), nil
		}
	}
	return "", nil
}

// Summary returns the summary row for a wish. If the owner has not written it yet, Summary returns
// a pending one and false. It returns [ErrChanged] if the address has another wish, and [ErrDamaged]
// if the row or the record is damaged.
func (s *Store) Summary(ctx context.Context, w ooo.Wish) (ooo.Summary, bool, error) {
	folded := ooo.FoldAddress(w.Address)
	pipe := s.client.Pipeline()
	row := pipe.HGet(ctx, rowsKey(w.Record().Partition()), folded)
	record := pipe.HGet(ctx, recordsKey(w.Record().Partition()), string(w.Record()))
	wish := pipe.HGet(ctx, wantsKey, folded)
	if err := exec(ctx, pipe); err != nil {
		return ooo.Summary{}, false, err
	}
	if nonce, _, _ := strings.Cut(wish.Val(), ":"); nonce != w.Nonce {
		return ooo.Summary{}, false, ErrChanged
	}
	if record.Val() != "" {
		if _, err := s.decodeRecord(ctx, w.Record(), record.Val()); err != nil {
			return ooo.Summary{}, false, err
		}
	}
	return s.summarize(ctx, w, row.Val())
}

// summarize decodes the row for a wish, "" if there is none. It ignores a row of another record,
// which exists until that record's owner has removed it.
func (s *Store) summarize(ctx context.Context, w ooo.Wish, row string) (summary ooo.Summary, found bool, err error) {
	if row != "" {
		summary, err = s.decodeSummary(ctx, ooo.FoldAddress(w.Address), row)
		if err != nil {
			return ooo.Summary{}, false, err
		}
		if summary.ID == w.Record() {
			return summary, true, nil
		}
	}
	return ooo.Summary{
		Address: w.Address, Name: w.Person.DisplayName, ID: w.Record(), Condition: ooo.Pending, Delivery: ooo.DeliveryNone,
	}, false, nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// millis returns t as Unix milliseconds, "0" for the zero time.
func millis(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// fromMillis is the inverse of millis.
func fromMillis(text string) (time.Time, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms == 0 {
		return time.Time{}, err
	}
	return time.UnixMilli(ms).UTC(), nil
}
