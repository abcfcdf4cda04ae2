package store

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// run runs a script by its digest, or by its text if Redis does not know it yet.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (any, error) {
	answer, err := script.Run(ctx, s.client, keys, args...).Result()
	return answer, translate(err)
}

// runAll runs a script many times in one pipeline. Calls for which Redis does not
// know the script are repeated with its text.
func (s *Store) runAll(ctx context.Context, script *redis.Script, keys []string, calls [][]any) ([]any, error) {
	commands := make([]*redis.Cmd, len(calls))
	pipe := s.client.Pipeline()
	for i, args := range calls {
		commands[i] = pipe.EvalSha(ctx, script.Hash(), keys, args...)
	}
	pipe.Exec(ctx) //nolint:errcheck // each command has its own error
	answers := make([]any, len(calls))
	for i, command := range commands {
		answer, err := command.Result()
		if err = translate(err); redis.HasErrorPrefix(err, "NOSCRIPT") {
			answer, err = s.run(ctx, script, keys, calls[i]...)
		}
		if err != nil {
			return nil, err
		}
		answers[i] = answer
	}
	return answers, nil
}

// tagged is a value that scripts compare by its tag.
func tagged(tag string, json []byte) string { return tag + ":" + string(json) }

// untag divides such a value. One without a tag is a tag as a whole, as for scripts.
func untag(value string) (tag, json string) {
	tag, json, _ = strings.Cut(value, ":")
	return tag, json
}
