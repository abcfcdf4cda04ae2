package store

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestSummariesAndEventsComeBack(t *testing.T) {
	at := time.UnixMilli(1700000000123).UTC()
	for _, want := range []ooo.Summary{
		{ID: "@x", Address: "x"},
		{ID: "id", Address: "Ann@x", Name: "Ann B", Condition: ooo.Watching, Away: new(true), Delivery: ooo.DeliveryPending, PendingSince: at, Live: 2, CoveredUntil: at, Failed: true},
		{ID: "id", Address: "a", Away: new(false)},
	} {
		if got, err := decodeSummary(encodeSummary(want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("summary = %+v, %v, want %+v", got, err, want)
		}
	}
	if got, err := decodeSummary(encodeSummary(ooo.Summary{ID: "id", Name: "A\tB\nC"})); err != nil || got.Name != "A B C" {
		t.Errorf("name = %q, %v", got.Name, err)
	}
	want := Event{Address: "Ann@x", Name: "Ann", Event: ooo.Event{At: at, Kind: ooo.EventChanged, Away: new(true), Detail: "a\tb"}}
	text, err := encodeEvent(want)
	got, err2 := decodeEvent(map[string]any{eventField: text, addressField: want.Address, nameField: want.Name})
	if err != nil || err2 != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("event = %+v, %v, %v, want %+v", got, err, err2, want)
	}
	if _, err := decodeEvent(nil); err == nil {
		t.Error("an entry without an event was taken for one")
	}
}

// FuzzDecoders feeds what Redis may hold to all decoders: none may panic, and what is
// refused is ErrDamaged.
func FuzzDecoders(f *testing.F) {
	f.Add("read\tid\t", `n:{"nonce":"n"}`)
	f.Add("a@x", `n:{"address":"a@x"}`)
	f.Add("id", `1:{"id":"id"}`)
	f.Add("", strings.Repeat("1\t", 12))
	f.Add("beat:x", "1 2 3 4 0")
	f.Add("x", `{"hints":{"read\tid\t":{"nonce":"n"}},"waitName":"x","wait":"1 2"}`)
	f.Fuzz(func(t *testing.T, field, value string) {
		ParseOwners(map[string]string{field: value})
		decodeMessage(value)
		_, hint := decodeHint(field, value)
		_, wish := decodeWish(field, value)
		_, record := decodeRecord(ooo.RecordID(field), value)
		_, row := decodeSummary(value)
		_, event := decodeEvent(map[string]any{eventField: value})
		for _, err := range []error{hint, wish, record, row, event} {
			if err != nil && !strings.HasSuffix(err.Error(), ErrDamaged.Error()) {
				t.Errorf("error = %v, want ErrDamaged", err)
			}
		}
	})
}

// BenchmarkDecodeSummary measures what a list does for each row.
func BenchmarkDecodeSummary(b *testing.B) {
	row := encodeSummary(ooo.Summary{
		ID: "00000000-0000-0000-0000-000000000000", Address: "user00000@contoso.example", Name: "Person of Contoso",
		Condition: ooo.Watching, Away: new(true), Delivery: ooo.DeliveryDelivered, Live: 1, CoveredUntil: time.UnixMilli(1700000000123),
	})
	for b.Loop() {
		if _, err := decodeSummary(row); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAScannedWishIsTheDecodedOne tries texts that look like fields of a wish.
func TestAScannedWishIsTheDecodedOne(t *testing.T) {
	for _, address := range []string{"ann@x", `",on":true,@x`, `a","on":false,"b@x`, `a\","on":true,@x`} {
		for _, person := range []ooo.Person{{}, {ID: "id-1"}, {ID: "id-1", DisplayName: `","person":{"id":"x"`}, {UserPrincipalName: `"id":"x"`}} {
			for _, on := range []bool{true, false} {
				want := ooo.Wish{Address: address, On: on, Person: person, Nonce: "n"}
				text, err := encodeWish(want)
				if err != nil {
					t.Fatal(err)
				}
				if got, id, err := scanWish(address, text); got != on || id != want.Record() || err != nil {
					t.Errorf("scanWish(%s) = %v, %s, %v, want %v, %s", text, got, id, err, on, want.Record())
				}
			}
		}
	}
}
