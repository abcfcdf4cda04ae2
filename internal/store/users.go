package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
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
			users = append(users, ooo.PendingUser(w.Address, w.Person))
			continue
		}
		p := m.ID.Partition()
		reads, known := decoded[p]
		if !known {
			reads = s.decodeReads(ctx, p, allReads.Val()[strconv.Itoa(p)])
			decoded[p] = reads
		}
		a.Spelling = w.Address // as it was written last
		m.CheckedAt = reads.checkedAt(m)
		users = append(users, ooo.User{Mailbox: *m, Address: *a})
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

// summaryFields is how many fields a row has at least; a later version may add some.
const summaryFields = 11

// oneLine keeps a text that came from outside within its field.
var oneLine = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")

// encodeSummary writes a summary as a row: fields separated by tabs, the record's id
// first, by which a save knows its own rows.
func encodeSummary(s ooo.Summary) string {
	away := "?"
	if s.Away != nil {
		away = flag(*s.Away)
	}
	return strings.Join([]string{
		string(s.ID), oneLine.Replace(s.Address), oneLine.Replace(s.Name), string(s.Condition), away, string(s.Delivery),
		millis(s.PendingSince), strconv.Itoa(s.Live), millis(s.CoveredUntil), flag(s.Failed), flag(s.NotFound),
	}, "\t")
}

// decodeSummary reads the row of a folded address. The error is [ErrDamaged].
func decodeSummary(folded, row string) (ooo.Summary, error) {
	var f [summaryFields]string
	enough := true
	for i := range f {
		if !enough {
			return ooo.Summary{}, damaged("row", folded)
		}
		f[i], row, enough = strings.Cut(row, "\t")
	}
	pending, err1 := fromMillis(f[6])
	live, err2 := strconv.Atoi(f[7])
	covered, err3 := fromMillis(f[8])
	if err1 != nil || err2 != nil || err3 != nil {
		return ooo.Summary{}, damaged("row", folded)
	}
	s := ooo.Summary{
		ID: ooo.RecordID(f[0]), Address: f[1], Name: f[2], Condition: ooo.Condition(f[3]), Delivery: ooo.DeliveryState(f[5]),
		PendingSince: pending, Live: live, CoveredUntil: covered, Failed: f[9] == "1", NotFound: f[10] == "1",
	}
	if f[4] != "?" {
		s.Away = new(f[4] == "1")
	}
	return s, nil
}

// RecordOf returns the record that an address was last saved in, whatever its wish says;
// empty if there is none.
func (s *Store) RecordOf(ctx context.Context, address string) (ooo.RecordID, error) {
	pipe := s.client.Pipeline()
	var rows [ooo.Partitions]*redis.StringCmd
	for p := range rows {
		rows[p] = pipe.HGet(ctx, rowsKey(p), ooo.FoldAddress(address))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return "", translate(err)
	}
	for _, row := range rows {
		if id, _, found := strings.Cut(row.Val(), "\t"); found {
			return ooo.RecordID(id), nil
		}
	}
	return "", nil
}

// Summary returns the row of a wish; a pending one and false if its owner has not
// written it yet.
func (s *Store) Summary(ctx context.Context, w ooo.Wish) (ooo.Summary, bool, error) {
	row, err := s.client.HGet(ctx, rowsKey(w.Record().Partition()), ooo.FoldAddress(w.Address)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return ooo.Summary{}, false, translate(err)
	}
	return summarize(w, row)
}

// summarize reads the row of a wish, empty if there is none. The row of another record,
// which is there until its owner has removed it, doesn't count.
func summarize(w ooo.Wish, row string) (summary ooo.Summary, found bool, err error) {
	if row != "" {
		summary, err = decodeSummary(ooo.FoldAddress(w.Address), row)
	}
	if err != nil || row != "" && summary.ID == w.Record() {
		return summary, err == nil, err
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

// millis writes a time as ms since 1970, 0 for none.
func millis(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

func fromMillis(text string) (time.Time, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms == 0 {
		return time.Time{}, err
	}
	return time.UnixMilli(ms).UTC(), nil
}
