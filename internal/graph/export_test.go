package graph

import (
	"time"

	"outlook-monitor/internal/ooo"
)

// Meaning is the error that a refusal of an operation becomes.
func Meaning(name string, status int, body, retryAfter string, now time.Time) error {
	return newAPIError(status, []byte(body), retryAfter, now).translate(operation(name))
}

// DecodeBatch is what is made of the answer to a $batch.
func DecodeBatch(answer []byte, readings []ooo.ReadResult) error {
	return decodeBatch(answer, readings, time.Now())
}
