package store

import (
	"strings"
	"testing"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
)

// FuzzDecoders checks that no decoder panics, and that their errors are ErrDamaged.
func FuzzDecoders(f *testing.F) {
	f.Add("read\tid\t", `n:{"nonce":"n"}`)
	f.Add("a@x", `n:{"address":"a@x"}`)
	f.Add("id", `1:{"id":"id"}`)
	f.Add("", strings.Repeat("1\t", 12))
	f.Add("beat:x", "1 2 3 4 0")
	f.Add("x", `{"hints":{"read\tid\t":{"nonce":"n"}},"waitName":"x","wait":"1 2"}`)
	s, err := Open(Config{URL: "redis://127.0.0.1:1"})
	must.NoError(f, err)
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, field, value string) {
		ParseTable(map[string]string{field: value})
		decodeMessage(value)
		_, hint := s.decodeHint(t.Context(), field, value)
		_, wish := s.decodeWish(t.Context(), field, value)
		_, record := s.decodeRecord(t.Context(), ooo.RecordID(field), value)
		_, row := s.decodeSummary(t.Context(), field, value)
		for _, err := range []error{hint, wish, record, row} {
			if err != nil && !strings.HasSuffix(err.Error(), ErrDamaged.Error()) {
				t.Errorf("error = %v, want ErrDamaged", err)
			}
		}
	})
}
