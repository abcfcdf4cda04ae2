package ooo_test

import (
	"fmt"
	"log/slog"
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
	before := opens.Add(-time.Minute)
	a := ooo.Address{Sequence: 3, Source: ooo.SourceNotification, Delivery: ooo.Delivery{
		State: ooo.DeliveryRefused, Sequence: 2, WebhookID: "old", Attempts: 9, Failures: 4, Error: "404",
		InFlightSince: before, InFlightSequence: 3, DeliveredAt: before, NextAttemptAt: closes,
	}}
	want := ooo.Address{Sequence: 4, QueuedAt: opens, Source: ooo.SourcePoll, Delivery: ooo.Delivery{
		State: ooo.DeliveryPending, Sequence: 2, WebhookID: "new",
		InFlightSince: before, InFlightSequence: 3, DeliveredAt: before,
	}}
	if a.Queue("new", ooo.SourcePoll, opens); a != want {
		t.Errorf("Queue = %+v, want %+v", a, want)
	}
}

func TestSummary(t *testing.T) {
	var a ooo.Address
	m := &ooo.Mailbox{
		ErrorKind: ooo.ReadErrorKindOf(fmt.Errorf("look up: %w", ooo.ErrNotInDirectory)),
		Subscriptions: []ooo.Subscription{
			{State: ooo.SubscriptionLive, ExpiresAt: closes}, {State: ooo.SubscriptionLive, ExpiresAt: opens},
		},
	}
	if s := m.Summary(&a); !s.CoveredUntil.Equal(opens) || s.Uncovered(2, opens.Add(-1)) || !s.Uncovered(2, opens) || s.Failed || !s.NotFound {
		t.Errorf("Summary = %+v, want it covered until the first one expires, and not found", s)
	}
	m.Subscriptions[1].Error, m.ErrorKind = "renewal denied", ooo.ReadErrorNoMailbox
	if s := m.Summary(&a); !s.Failed || s.NotFound {
		t.Errorf("Summary = %+v, want a failed subscription, and found", s)
	}
	m.Subscriptions[1].State = ooo.SubscriptionCreating
	if s := m.Summary(&a); !s.CoveredUntil.IsZero() {
		t.Errorf("Summary = %+v, want it not covered by one of two subscriptions", s)
	}
}
