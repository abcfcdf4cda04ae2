package store

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestSummaryRoundTrip(t *testing.T) {
	at := time.UnixMilli(1700000000123).UTC()
	for _, want := range []ooo.Summary{
		{ID: "@x", Address: "x"},
		{
			ID: "id", Address: "Ann@x", Name: "Ann B", Condition: ooo.Watching, Away: new(true), Delivery: ooo.DeliveryPending,
			PendingSince: at, Live: 2, CoveredUntil: at, Failed: true, NotFound: true,
		},
		{ID: "id", Address: "a", Away: new(false)},
	} {
		if got, err := decodeSummary("x", encodeSummary(want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("summary = %+v, %v, want %+v", got, err, want)
		}
	}
	if got, err := decodeSummary("x", encodeSummary(ooo.Summary{ID: "id", Name: "A\tB\nC"})); err != nil || got.Name != "A B C" {
		t.Errorf("name = %q, %v, want A B C", got.Name, err)
	}
}

// FuzzDecoders checks that no decoder panics, and that their errors are ErrDamaged.
func FuzzDecoders(f *testing.F) {
	f.Add("read\tid\t", `n:{"nonce":"n"}`)
	f.Add("a@x", `n:{"address":"a@x"}`)
	f.Add("id", `1:{"id":"id"}`)
	f.Add("", strings.Repeat("1\t", 12))
	f.Add("beat:x", "1 2 3 4 0")
	f.Add("x", `{"hints":{"read\tid\t":{"nonce":"n"}},"waitName":"x","wait":"1 2"}`)
	f.Fuzz(func(t *testing.T, field, value string) {
		ParseTable(map[string]string{field: value})
		decodeMessage(value)
		_, hint := decodeHint(field, value)
		_, wish := decodeWish(field, value)
		_, record := decodeRecord(ooo.RecordID(field), value)
		_, row := decodeSummary(field, value)
		for _, err := range []error{hint, wish, record, row} {
			if err != nil && !strings.HasSuffix(err.Error(), ErrDamaged.Error()) {
				t.Errorf("error = %v, want ErrDamaged", err)
			}
		}
	})
}
