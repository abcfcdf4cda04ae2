package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/schedule"
)

// chunkSize limits the items in one command or script, so that it does not block Redis for
// long.
const chunkSize = 500

// hintField returns the hash field of a hint, the same for all hints that coalesce: kind,
// record id and subject, separated by tabs, which kind and id never contain.
func hintField(h ooo.Hint) string { return string(h.Kind) + "\t" + string(h.ID) + "\t" + h.Subject }

// setHintField is the inverse of hintField. It reports whether field is valid.
func setHintField(h *ooo.Hint, field string) bool {
	kind, rest, _ := strings.Cut(field, "\t")
	id, subject, ok := strings.Cut(rest, "\t")
	h.Kind, h.ID, h.Subject = ooo.HintKind(kind), ooo.RecordID(id), subject
	return ok && kind != "" && id != ""
}

// decodeHint decodes a hint. It returns [ErrDamaged] if it can't.
func (s *Store) decodeHint(ctx context.Context, field, value string) (h ooo.Hint, err error) {
	nonce, err := decode(value, &h)
	if err != nil || nonce == "" || !setHintField(&h, field) {
		return ooo.Hint{}, s.damaged(ctx, "hint", field)
	}
	h.Nonce = nonce
	return h, nil
}

// Hints returns the hints for all mailboxes, in no particular order. It skips damaged ones.
func (s *Store) Hints(ctx context.Context) ([]ooo.Hint, error) {
	all, err := s.client.HGetAll(ctx, hintsKey).Result()
	if err != nil {
		return nil, translate(err)
	}
	hints := make([]ooo.Hint, 0, len(all))
	for field, value := range all {
		if h, err := s.decodeHint(ctx, field, value); err == nil {
			hints = append(hints, h)
		}
	}
	return hints, nil
}

// maxHintWrites limits the writes of hints in flight, so that notifications leave connections to
// saves when Redis is slow.
const maxHintWrites = 16

// LeaveHints stores hints for the owners of their mailboxes, all or none. If publish is set,
// it also sends them to the owners in messages. If ctx ends first, they may be stored or not.
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
	if err := s.hintWrites.Acquire(ctx, 1); err != nil {
		return translate(err)
	}
	defer s.hintWrites.Release(1)
	pipe := s.client.Pipeline()
	written := pipe.HSet(ctx, hintsKey, fields...)
	if publish {
		s.publish(ctx, pipe, hintMessages(hints)...)
	}
	pipe.Exec(ctx) //nolint:errcheck // only the error of HSET matters
	return translate(written.Err())
}

// RemoveHints removes hints that were carried out, unless they have changed since.
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

// Message is sent by one replica to all others. Its content is stored in Redis too, so a
// lost message only costs time.
type Message struct {
	Hints        []ooo.Hint
	TableChanged bool // read the table of owners now, before the next round
}

// wireMessage is the wire format of a message.
type wireMessage struct {
	Hints        map[string]ooo.Hint `json:"hints,omitempty"` // by hintField
	TableChanged bool                `json:"table,omitempty"`
}

// hintsPerMessage keeps messages short.
const hintsPerMessage = 200

func hintMessages(hints []ooo.Hint) (messages []wireMessage) {
	for chunk := range slices.Chunk(hints, hintsPerMessage) {
		w := wireMessage{Hints: map[string]ooo.Hint{}}
		for _, h := range chunk {
			w.Hints[hintField(h)] = h
		}
		messages = append(messages, w)
	}
	return messages
}

// decodeMessage decodes a message. ok is false if it can't: the replica will find the
// content in Redis a little later.
func decodeMessage(text string) (m Message, ok bool) {
	var w wireMessage
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
func (s *Store) publish(ctx context.Context, pipe redis.Pipeliner, messages ...wireMessage) {
	for _, m := range messages {
		if text, err := json.Marshal(m); err == nil { // an error would be a bug
			command := redis.NewIntCmd(ctx, "PUBLISH", s.channel, text)
			command.SetFirstKeyPos(1) // so that a Cluster client sends it to the node of the keys, in pipeline order
			_ = pipe.Process(ctx, command)
		}
	}
}

// AnnounceTable makes all replicas read the table of owners now, before their next rounds.
func (s *Store) AnnounceTable(ctx context.Context) { s.send(ctx, wireMessage{TableChanged: true}) }

// send publishes messages. A failure is only logged.
func (s *Store) send(ctx context.Context, messages ...wireMessage) {
	pipe := s.client.Pipeline()
	s.publish(ctx, pipe, messages...)
	if _, err := pipe.Exec(ctx); err != nil {
		s.log.DebugContext(ctx, "message not sent", "err", err)
	}
}

const (
	pingInterval = 3 * time.Second
	// silentTime is after how long without an answer a connection is dead. TCP notices a server
	// that vanished without closing it only after 15 minutes, and go-redis awaits no answer either.
	silentTime = 2 * pingInterval
	// maxResubscribe is the longest pause between attempts to subscribe.
	maxResubscribe = 5 * time.Second
)

// Listen calls onMessage for each message until ctx ends. After each connect it calls it with
// a zero Message: messages may have been missed, so read everything.
func (s *Store) Listen(ctx context.Context, onMessage func(Message)) error {
	sub := s.messages.Subscribe(ctx, s.channel)
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { sub.Close() })() // ends Receive
	for failures := 0; ctx.Err() == nil; {
		received, err := receive(ctx, sub)
		if err != nil {
			failures++
			schedule.Sleep(ctx, schedule.Backoff(failures, 100*time.Millisecond, maxResubscribe))
			_ = sub.Subscribe(ctx, s.channel) // again, because Redis may have refused it
			continue
		}
		failures = 0
		switch m := received.(type) {
		case *redis.Subscription:
			onMessage(Message{})
		case *redis.Message:
			if message, ok := decodeMessage(m.Payload); ok {
				onMessage(message)
			}
		}
	}
	return nil
}

// receive returns what comes next, if only the answer to a PING. After an error of the connection,
// or after silentTime, go-redis opens another.
func receive(ctx context.Context, sub *redis.PubSub) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, silentTime)
	defer cancel()
	defer time.AfterFunc(pingInterval, func() { _ = sub.Ping(ctx) }).Stop()
	return sub.Receive(ctx)
}
