package ooo_test

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func TestRecordIDs(t *testing.T) {
	unresolved := ooo.UnresolvedID(" Ann@Contoso.example")
	if unresolved != "@ann@contoso.example" || !unresolved.Unresolved() || unresolved.ObjectID() != "" {
		t.Errorf("UnresolvedID = %q, want @ and the folded address, without an object id", unresolved)
	}
	if id := ooo.RecordID(ann); id.Unresolved() || id.ObjectID() != ann {
		t.Errorf("ObjectID of %q = %q, want %q", id, id.ObjectID(), ann)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "mailbox", unresolved, "other", ooo.RecordID(ann))
	if got := log.String(); strings.Contains(got, "contoso") || !strings.Contains(got, string(ann)) {
		t.Errorf("log = %s, want the object id and no address", got)
	}
	wish := ooo.Wish{Address: "Ann@contoso.example"}
	if got := wish.Record(); got != unresolved {
		t.Errorf("Record of an unresolved wish = %q, want %q", got, unresolved)
	}
	if wish.Person.ID = ann; wish.Record() != ooo.RecordID(ann) {
		t.Errorf("Record of a resolved wish = %q, want %q", wish.Record(), ann)
	}
}

// TestPartition pins the hash: replicas of all versions must agree on it.
func TestPartition(t *testing.T) {
	for id, want := range map[ooo.RecordID]int{ooo.RecordID(ann): 62, ooo.RecordID(bob): 43, "@ann@contoso.example": 61} {
		if got := id.Partition(); got != want {
			t.Errorf("Partition of %s = %d, want %d", id, got, want)
		}
	}
}

func TestQueue(t *testing.T) {
	before, retryAfter := opens.Add(-time.Minute), opens.Add(time.Hour)
	tests := map[string]struct {
		delivery ooo.Delivery
		want     ooo.Delivery
	}{
		"first state": {ooo.Delivery{State: ooo.DeliveryNone}, ooo.Delivery{State: ooo.DeliveryPending, WebhookID: "new"}},
		"after a delivered state": {
			ooo.Delivery{State: ooo.DeliveryDelivered, Sequence: 3, WebhookID: "old", Attempts: 2, DeliveredAt: before},
			ooo.Delivery{State: ooo.DeliveryPending, Sequence: 3, WebhookID: "new", DeliveredAt: before},
		},
		"during a backoff": {
			ooo.Delivery{State: ooo.DeliveryRefused, Sequence: 2, Attempts: 9, Failures: 4, NextAttemptAt: retryAfter, Error: "404"},
			ooo.Delivery{State: ooo.DeliveryPending, Sequence: 2, WebhookID: "new"},
		},
		"during a Retry-After": {
			ooo.Delivery{State: ooo.DeliveryPending, Sequence: 2, NextAttemptAt: retryAfter, Throttled: true},
			ooo.Delivery{State: ooo.DeliveryPending, Sequence: 2, WebhookID: "new", NextAttemptAt: retryAfter, Throttled: true},
		},
		"attempt in flight": {
			ooo.Delivery{State: ooo.DeliveryPending, Sequence: 2, InFlightSince: before, InFlightSequence: 3},
			ooo.Delivery{State: ooo.DeliveryPending, Sequence: 2, WebhookID: "new", InFlightSince: before, InFlightSequence: 3},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := ooo.Address{Sequence: 3, Source: ooo.SourceNotification, NotifiedAt: before, Trace: "old", Delivery: tt.delivery}
			a.Queue("new", ooo.SourcePoll, opens)
			if want := (ooo.Address{Sequence: 4, QueuedAt: opens, Source: ooo.SourcePoll, Delivery: tt.want}); a != want {
				t.Errorf("Queue = %+v, want %+v", a, want)
			}
			if !a.Undelivered() {
				t.Error("Undelivered = false, want true")
			}
			if a.Delivery.Sequence = a.Sequence; a.Undelivered() {
				t.Error("Undelivered = true after the acknowledgement, want false")
			}
		})
	}
}

// fullMailbox returns a mailbox with two addresses and all fields in use.
func fullMailbox() *ooo.Mailbox {
	return &ooo.Mailbox{
		ID: ooo.RecordID(ann), Version: 7, Person: ooo.Person{ID: ann, DisplayName: "Ann Lee"},
		Condition: ooo.Unknown, Reason: "away", ErrorKind: ooo.ReadErrorNoMailbox,
		Setting: &ooo.Setting{Status: ooo.AlwaysEnabled}, State: &ooo.State{Away: true, Message: "Away"},
		Addresses: []ooo.Address{
			{Spelling: "Ann@contoso.example", Sequence: 2, QueuedAt: opens, Delivery: ooo.Delivery{State: ooo.DeliveryPending, Sequence: 1}},
			{Spelling: "lee@contoso.example", Sequence: 1, QueuedAt: opens, Delivery: ooo.Delivery{State: ooo.DeliveryDelivered, Sequence: 1}},
		},
		Subscriptions: []ooo.Subscription{
			{Resource: "a", State: ooo.SubscriptionLive, ExpiresAt: closes}, {Resource: "b", State: ooo.SubscriptionFailed},
			{Resource: "c", State: ooo.SubscriptionLive, ExpiresAt: opens},
		},
	}
}

func TestMailboxClone(t *testing.T) {
	m := fullMailbox()
	c := m.Clone()
	if !reflect.DeepEqual(c, m) {
		t.Fatalf("Clone = %+v, want %+v", c, m)
	}
	c.Addresses[0].Spelling, c.Subscriptions[0].ID, c.State.Away, c.Setting.Status = "x", "x", false, ooo.Disabled
	if !reflect.DeepEqual(m, fullMailbox()) {
		t.Errorf("changing the clone changed the mailbox to %+v", m)
	}
}

func TestMailboxAddressAndSummary(t *testing.T) {
	m := fullMailbox()
	if a := m.Address("bob@contoso.example"); a != nil {
		t.Errorf("Address of an unknown address = %+v, want nil", a)
	}
	first, second := m.Address(" ANN@contoso.example"), m.Address("LEE@CONTOSO.example")
	if first != &m.Addresses[0] || second != &m.Addresses[1] {
		t.Fatalf("Address = %+v and %+v, want both, in any letter case", first, second)
	}
	want := ooo.Summary{
		Address: "Ann@contoso.example", Name: "Ann Lee", ID: m.ID, Condition: ooo.Unknown, Away: new(true),
		Delivery: ooo.DeliveryPending, PendingSince: opens, Live: 2, CoveredUntil: opens, Failed: true,
	}
	if got := m.Summary(first); !reflect.DeepEqual(got, want) {
		t.Errorf("Summary = %+v, want %+v", got, want)
	}
	m.State, m.Addresses, m.ErrorKind = nil, m.Addresses[1:], ooo.ReadErrorKindOf(fmt.Errorf("look up: %w", ooo.ErrNotInDirectory))
	if got := m.Summary(&m.Addresses[0]); got.Away != nil || !got.PendingSince.IsZero() || !got.NotFound {
		t.Errorf("Summary = %+v, want no state, nothing pending, and not found", got)
	}
}
