package graph

import (
	"time"

	"outlook-monitor/internal/ooo"
)

// Translate returns the error for an error answer.
func Translate(name string, status int, body, retryAfter string, now time.Time) error {
	return newAPIError(status, []byte(body), retryAfter, now).translate(operation(name))
}

// DecodeBatch decodes the answer to a $batch.
func DecodeBatch(answer []byte, results []ooo.ReadResult) error {
	return decodeBatch(answer, results, time.Now())
}
