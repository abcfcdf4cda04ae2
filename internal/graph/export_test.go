package graph

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"outlook-monitor/internal/ooo"
)

// subjects of calls, by what they are about.
var subjects = map[string]subject{
	"mailbox": aMailbox, "batch": aBatch, "person": aPerson, "presence": aPresence,
	"creation": aCreation, "subscription": aSubscription, "listing": aListing,
}

// Meaning is the error that a refusal becomes.
func Meaning(about string, status int, body, retryAfter string, now time.Time) error {
	return because(newRefusal(status, []byte(body), retryAfter, now), subjects[about])
}

// DecodeBatch is what is made of the answer to a $batch.
func DecodeBatch(answer []byte, readings []ooo.Reading) error {
	return decodeBatch(bytes.NewBuffer(answer), readings, time.Now())
}

// DecodePlain is what is made of an answer that is plain, and whether it is.
func DecodePlain(answer []byte, readings []ooo.Reading) bool { return plainBatch(answer, readings) }

// DecodeAny is what is made of an answer that need not be plain.
func DecodeAny(answer []byte, readings []ooo.Reading) error {
	return decodeAny(answer, readings, time.Now())
}

// Claims is what a challenge demands.
func Claims(challenges ...string) string { return claimsOf(challenges) }

// OperationOf is the name under which a request is reported.
func OperationOf(req *http.Request) string { return operationOf(req) }

// WritesInFlight is how many subscription writes are in flight at most.
const WritesInFlight = writesInFlight

// Noted says whether the calls of a context are collected.
func Noted(ctx context.Context) bool { return callsOf(ctx) != nil }
