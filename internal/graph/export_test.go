package graph

import (
	"context"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

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

// NewTokens returns the tokens of fetch.
func NewTokens(fetch func(context.Context) (azcore.AccessToken, error)) *tokens {
	return newTokens(fetch, slog.New(slog.DiscardHandler))
}

// Header returns the Authorization header of a usable token.
func (t *tokens) Header(ctx context.Context) (string, error) {
	current, err := t.get(ctx)
	if err != nil {
		return "", err
	}
	return current.header, nil
}

// Run renews the token until ctx ends.
func (t *tokens) Run(ctx context.Context) { t.run(ctx) }
