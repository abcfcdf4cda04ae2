package store

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// chunkSize is how much goes into one pipeline or script, so that no one else waits
// long for Redis.
const chunkSize = 500

// hintField is the field of a hint, the same for all that coalesce: kind, record and
// subject, separated by tabs, which none of the first two can hold.
func hintField(h ooo.Hint) string { return string(h.Kind) + "\t" + string(h.ID) + "\t" + h.Subject }

// setHintField sets what hintField wrote, and reports whether it did.
func setHintField(h *ooo.Hint, field string) bool {
	kind, rest, _ := strings.Cut(field, "\t")
	id, subject, ok := strings.Cut(rest, "\t")
	h.Kind, h.ID, h.Subject = ooo.HintKind(kind), ooo.RecordID(id), subject
	return ok && kind != "" && id != ""
}

// decodeHint reads a hint. The error is [ErrDamaged].
func decodeHint(field, value string) (h ooo.Hint, err error) {
	nonce, err := decode(value, &h)
	if err != nil || nonce == "" || !setHintField(&h, field) {
		return ooo.Hint{}, damaged("hint", field)
	}
	h.Nonce = nonce
	return h, nil
}

// Hints returns the hints for all mailboxes that can be read, in no order.
func (s *Store) Hints(ctx context.Context) ([]ooo.Hint, error) {
	all, err := s.client.HGetAll(ctx, hintsKey).Result()
	if err != nil {
		return nil, translate(err)
	}
	hints := make([]ooo.Hint, 0, len(all))
	for field, value := range all {
		h, err := decodeHint(field, value)
		if err != nil {
			s.report(ctx, err)
			continue
		}
		hints = append(hints, h)
	}
	return hints, nil
}

// LeaveHints leaves hints for the owners of their mailboxes, all or none, and notifies
// them by a message if publish is set.
func (s *Store) LeaveHints(ctx context.Context, publish bool, hints ...ooo.Hint) error {
	if len(hints) == 0 {
		return nil
	}
	fields := make([]any, 0, 2*len(hints))
	for _, h := range hints {
		value, err := encode(h.Nonce, h)
		if err != nil {
			return err
		}
		fields = append(fields, hintField(h), value)
	}
	pipe := s.client.Pipeline()
	written := pipe.HSet(ctx, hintsKey, fields...)
	if publish {
		s.publish(ctx, pipe, hintMessages(hints)...)
	}
	pipe.Exec(ctx) //nolint:errcheck // the first command has its own error, the others don't matter
	return translate(written.Err())
}

// RemoveHints removes hints that were carried out, but for those that were left again
// meanwhile.
func (s *Store) RemoveHints(ctx context.Context, hints ...ooo.Hint) error {
	for chunk := range slices.Chunk(hints, chunkSize) {
		args := make([]any, 0, 5*len(chunk))
		for _, h := range chunk {
			args = append(args, hintField(h), h.Nonce, "", "", "")
		}
		if _, err := s.run(ctx, swapTagged, []string{hintsKey, hintsKey}, args...); err != nil {
			return err
		}
	}
	return nil
}

// Message is what one replica sends to all others. It is in Redis too, so a message
// that is lost costs time and nothing else.
type Message struct {
	Hints        []ooo.Hint
	TableChanged bool // the table of owners changed, and should be read before the next round
}

// wire is a message as it is sent.
type wire struct {
	Hints        map[string]ooo.Hint `json:"hints,omitempty"` // by hintField
	TableChanged bool                `json:"table,omitempty"`
}

// hintsPerMessage keeps messages short.
const hintsPerMessage = 200

func hintMessages(hints []ooo.Hint) (messages []wire) {
	for chunk := range slices.Chunk(hints, hintsPerMessage) {
		w := wire{Hints: map[string]ooo.Hint{}}
		for _, h := range chunk {
			w.Hints[hintField(h)] = h
		}
		messages = append(messages, w)
	}
	return messages
}

// decodeMessage reads a message. One that can't be read is not ok: what it says is found
// in Redis a little later.
func decodeMessage(text string) (m Message, ok bool) {
	var w wire
	if json.Unmarshal([]byte(text), &w) != nil {
		return Message{}, false
	}
	for field, h := range w.Hints {
		if setHintField(&h, field) && h.Nonce != "" {
			m.Hints = append(m.Hints, h)
		}
	}
	m.TableChanged = w.TableChanged
	return m, len(m.Hints) > 0 || m.TableChanged
}

// publish adds messages to a pipeline.
func (s *Store) publish(ctx context.Context, pipe redis.Pipeliner, messages ...wire) {
	for _, m := range messages {
		if text, err := json.Marshal(m); err == nil { // it was marshalled before, or has texts alone
			command := redis.NewIntCmd(ctx, "PUBLISH", s.channel, text)
			command.SetFirstKeyPos(1) // a Cluster takes it to where the keys are, in the order of the pipeline
			_ = pipe.Process(ctx, command)
		}
	}
}

// announce notifies the owners of hints that were left.
func (s *Store) announce(ctx context.Context, hints []ooo.Hint) {
	s.send(ctx, hintMessages(hints)...)
}

// AnnounceTable has all replicas read the table of owners now, and not only in their
// next rounds.
func (s *Store) AnnounceTable(ctx context.Context) { s.send(ctx, wire{TableChanged: true}) }

func (s *Store) send(ctx context.Context, messages ...wire) {
	pipe := s.client.Pipeline()
	s.publish(ctx, pipe, messages...)
	if _, err := pipe.Exec(ctx); err != nil {
		s.log.DebugContext(ctx, "message not sent", "err", err)
	}
}

const (
	pingEvery   = 3 * time.Second // to find a connection dead on which nothing arrives
	listenAgain = 5 * time.Second // at most
)

// Listen calls heard for each message until ctx ends, and with a zero Message after
// each connect: what was sent before is missed, so read everything.
func (s *Store) Listen(ctx context.Context, heard func(Message)) error {
	for failures := 0; ctx.Err() == nil; {
		connection, stop := s.login.untilRenewed(ctx)
		err := s.listen(connection, func(m Message) {
			failures = 0
			heard(m)
		})
		renewed := connection.Err() != nil
		stop()
		if renewed {
			continue // with the new token
		}
		if failures++; failures == 1 && ctx.Err() == nil {
			s.log.WarnContext(ctx, "redis messages interrupted, reconnecting", "err", err)
		}
		schedule.Sleep(ctx, schedule.Backoff(failures, 100*time.Millisecond, listenAgain))
	}
	return nil
}

// listen listens on one connection until it breaks.
func (s *Store) listen(ctx context.Context, heard func(Message)) error {
	sub := s.messages.Subscribe(ctx)
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { sub.Close() })()
	if err := sub.Subscribe(ctx, s.channel); err != nil {
		return translate(err)
	}
	for pinged := false; ; {
		received, err := sub.ReceiveTimeout(ctx, pingEvery)
		timeout, ok := errors.AsType[net.Error](err)
		switch silent := ok && timeout.Timeout(); {
		case silent && pinged:
			return errors.New("redis: the connection is dead")
		case silent:
			err, pinged = sub.Ping(ctx), true
		case err == nil:
			pinged = false
		}
		if err != nil {
			return translate(err)
		}
		switch m := received.(type) {
		case *redis.Subscription:
			heard(Message{})
		case *redis.Message:
			if message, ok := decodeMessage(m.Payload); ok {
				heard(message)
			}
		}
	}
}
